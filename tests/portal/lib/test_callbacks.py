"""Posts to customers' addresses: only to public ones, over TLS, and never for long."""

import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Any

import pytest

from portal.lib import callbacks


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "example.com", "https://", "https://:443/",
        "https://user:secret@example.com/", "https://example.com/#part", "https://example.com:99999/",
        "https://exa mple.com/", "https://example.com/\r\nX: 1", "https://exämple.com/",
        "https://example.com/" + "x" * 500, "https://example.com:0/", "https://[::1/",
    ],
)  # fmt: skip
def test_what_is_no_safe_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        callbacks.check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::a9fe:a9fe", "::ffff:0:7f00:1", "::7f00:1", "fec0::1",
    ],
)  # fmt: skip
def test_no_address_inside_is_reached(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_args: Any, **_options: Any) -> list[Any]:
        return [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (address, 443))]

    def connect(*_args: Any) -> None:
        raise AssertionError("it was connected to")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(callbacks.CallbackFailed, match="not public"):
        callbacks.post("https://example.com/", b"", {})


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[Any] = []

    def resolve(*_args: Any, **_options: Any) -> list[Any]:
        assert not reached
        return [(0, 0, 0, "", ("93.184.216.34", 443))]

    def connect(where: Any, *_args: Any) -> None:
        reached.append(where)
        raise OSError("enough")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(callbacks.CallbackFailed, match="enough"):
        callbacks.post("https://example.com/", b"", {})
    assert reached == [("93.184.216.34", 443)]


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_dribbles_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(callbacks, "DEADLINE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble() -> None:
            peer, _address = server.accept()
            with peer:
                peer.sendall(begun)
                with suppress(OSError):
                    while not hung_up.wait(0.02):
                        peer.sendall(b"x")

        hung_up = Event()
        thread = Thread(target=dribble)
        thread.start()
        with pytest.raises(callbacks.CallbackFailed, match="too long"):
            callbacks.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, private=True)
        hung_up.set()
        thread.join()
