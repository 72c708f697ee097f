"""Posts to addresses that customers chose, without lending them our place in the network.

The name is resolved once, every address it has must be a public one, and the connection goes to
that very address: a name that points elsewhere a moment later changes nothing. No redirect is
followed, no answer is read beyond its status, and nobody holds a worker longer than `DEADLINE_S`.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from urllib.parse import SplitResult, urlsplit

from django.utils.translation import gettext as _

DEADLINE_S = 10.0
MAX_URL = 500
_GIVEN_OUT = ipaddress.ip_network("2000::/3")  # of IPv6: whatever is public lies in it (RFC 4291)


class CallbackFailed(Exception):  # noqa: N818  reads as a state
    """It did not arrive, in words for whoever owns the address."""


def check_url(url: str, *, private: bool = False) -> SplitResult:
    """The address in parts; `private` allows plain HTTP. Raises ValueError with a sentence."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_("This is not an address.")) from None
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise ValueError(_("The address must begin with https://."))
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if not parts.hostname or port == 0 or not plain:
        raise ValueError(_("This is not an address."))
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError(_("The address must not contain a user, password or fragment."))
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool = False) -> None:
    """Post once. Raises CallbackFailed unless the answer's status is 2xx.

    `private` allows addresses of private networks, and plain HTTP.
    """
    try:
        parts = check_url(url, private=private)
        status = _status(parts, body, headers, private)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CallbackFailed(str(error) or type(error).__name__) from error
    if not 200 <= status < 300:
        raise CallbackFailed(f"It answered {status}.")


def _status(parts: SplitResult, body: bytes, headers: Mapping[str, str], private: bool) -> int:
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(parts.hostname, port, private)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    with closing(_Connection(parts.hostname, port, address, tls)) as connection:
        # A server that sends a byte now and then would pass every time-out of its own.
        watch = threading.Timer(DEADLINE_S, connection.hang_up)
        watch.start()
        try:
            path = parts.path or "/"
            target = f"{path}?{parts.query}" if parts.query else path
            connection.request("POST", target, body, dict(headers))
            with connection.getresponse() as answer:
                status = answer.status
        except (OSError, http.client.HTTPException):
            if not connection.hung_up:
                raise
        finally:
            watch.cancel()
        # To http.client what was hung up on is a reset, half a line, or the end of the headers.
        if connection.hung_up:
            raise TimeoutError("It took too long.")
        return status


def _address(host: str, port: int, private: bool) -> str:
    found = {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not private and not all(_is_public(address) for address in found):
        raise CallbackFailed("Its name leads to an address that is not public.")
    return min(found)


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if isinstance(ip, ipaddress.IPv6Address):
        # Elsewhere, and in two places of it, lie the forms that carry an address of IPv4, for
        # whoever on the way translates them.
        if ip not in _GIVEN_OUT or ip.teredo is not None:
            return False
        if ip.sixtofour is not None and not ip.sixtofour.is_global:
            return False
    return ip.is_global and not ip.is_multicast


class _Connection(http.client.HTTPConnection):
    """To an address that was checked, under the name that its certificate must have."""

    def __init__(self, host: str, port: int, address: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=DEADLINE_S)
        self.default_port = 80 if tls is None else 443
        self.address = address
        self.hung_up = False
        self.tls = tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), self.timeout)
        if self.tls is not None:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.host)

    def hang_up(self) -> None:
        self.hung_up = True
        with suppress(OSError):  # it may have ended by itself
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)
