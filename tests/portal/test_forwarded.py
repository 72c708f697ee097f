"""The client's address: the connection's, or what our own proxy saw; never what a client claims."""

import pytest
from pytest_django.fixtures import Settings

from portal.forwarded import seen_by_proxy


def address(*forwarded: bytes) -> str:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    client: tuple[str, int] = seen_by_proxy(
        {"type": "http", "client": ("127.0.0.1", 5), "headers": headers}
    )["client"]
    return client[0]


def test_without_a_proxy_the_header_counts_for_nothing(settings: Settings) -> None:
    settings.TRUST_FORWARDED_FOR = False
    assert address(b"10.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], "127.0.0.1"),
        ([b"203.0.113.9"], "203.0.113.9"),
        ([b"10.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ([b"10.0.0.1", b"203.0.113.9"], "203.0.113.9"),
        ([b"2001:db8::1"], "2001:db8::1"),
        ([b"203.0.113.9, "], "127.0.0.1"),
        ([b"10.0.0.1, 203.0.113.9:4711"], "203.0.113.9"),
        ([b"[2001:db8::1]:4711"], "2001:db8::1"),
        ([b"unknown"], "127.0.0.1"),
    ],
)
def test_behind_a_proxy_its_own_word_is_the_last(
    settings: Settings, forwarded: list[bytes], expected: str
) -> None:
    settings.TRUST_FORWARDED_FOR = True
    assert address(*forwarded) == expected
