"""Addresses that operators write into settings; ValueError says what is wrong with one."""

import re
from email.headerregistry import AddressHeader, HeaderRegistry
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from kombu.transport import TRANSPORT_ALIASES
from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo

# A host that is not English stands there as browsers send it, as xn--…; `*` in lists of hosts.
HOST = re.compile(r"[A-Za-z0-9._*-]+|\[[0-9A-Fa-f:.%]+\]")
NETLOC = re.compile(rf"({HOST.pattern})(:\d+)?")
ENGINE_HOST = re.compile(rf"{HOST.pattern}|[0-9A-Fa-f:.]+")
# Of libpq. A machine that loses its power ends no connection: left alone, whoever asked it would
# wait a quarter of an hour, and so would all requests behind them.
VANISHED_SERVER = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def site(url: str) -> str:
    """The address of the site as browsers write it, without a slash at its end."""
    parts = _split(url, ("http", "https"))
    if not NETLOC.fullmatch(parts.netloc) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "it must be a scheme and a host alone, such as https://example.com or https://xn--…"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def host(name: str) -> str:
    """A host as ALLOWED_HOSTS names it; anything more would match no request."""
    if not HOST.fullmatch(name):
        raise ValueError(f"it must name hosts alone, such as example.com, not {name!r}")
    return name


def origin(url: str) -> str:
    """What browsers call the site of a page; `*`: any."""
    return url if url == "*" else site(url)


def mail_server(name: str) -> str:
    """Empty, or a host, an address of IPv6 without brackets; its port is a setting of its own."""
    if name and not NETLOC.fullmatch(f"[{name}]"):
        host(name)
    return name


def sender(text: str) -> str:
    """Whom mails are from. A name with a comma, say, would be taken for several addresses."""
    found = cast("AddressHeader", HeaderRegistry()("from", text)).addresses
    if len(found) != 1 or not found[0].username or not found[0].domain:
        raise ValueError(
            f"it must be one address, such as Name <no-reply@example.com>, not {text!r};"
            " a name with a comma, for example, must be in quotes"
        )
    return text


def redis(url: str) -> str:
    """Empty, or where a Redis listens."""
    if url:
        _split(url, ("redis", "rediss", "unix"))
    return url


def broker(url: str) -> str:
    """Where jobs wait, as kombu names it: a Redis behind a path has another scheme there."""
    if url.startswith("unix://"):
        url = f"redis+socket{url.removeprefix('unix')}"
    scheme, mark, _rest = url.partition("://")
    if not mark or scheme.partition("+")[0] not in TRANSPORT_ALIASES:
        raise ValueError("it must begin with redis://, rediss://, unix:// or amqp://")
    return url


def broker_options(url: str, of_redis: dict[str, Any]) -> dict[str, Any]:
    """How kombu connects: workers and beat would wait for ever for a Redis that has vanished."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "memory":
        return {"polling_interval": 0.05}
    return dict(of_redis) if scheme in {"redis", "rediss"} else {}


def postgres(url: str) -> dict[str, str]:
    """What Django calls the parts of `postgres://user:password@host:port/name`."""
    parts = _split(url, ("postgres", "postgresql"))
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ValueError(
            "it names no database; one that does: postgres://user:password@host:5432/name"
        )
    return {
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
    }


def parameters(url: str) -> dict[str, str]:
    """What stands behind the question mark: parameters of the connection, as libpq names them."""
    query = urlsplit(url).query
    found = dict(parse_qsl(query, strict_parsing=bool(query)))
    try:
        make_conninfo(**found)
    except ProgrammingError as error:
        raise ValueError(str(error).strip()) from None
    return VANISHED_SERVER | found


def engine(address: str) -> str:
    """`host:port` or `unix:/path`, as it is."""
    host, _, port = address.rpartition(":")
    is_path = address.startswith("unix:/")
    if not is_path and not (
        ENGINE_HOST.fullmatch(host) and port.isdecimal() and 0 < int(port) < 1 << 16
    ):
        raise ValueError(f"an engine's address must be host:port or unix:/path, not {address!r}")
    return address


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts; what is refused is not repeated, since it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in schemes or "://" not in url:
        known = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"it must begin with {known}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is not a number from 0 to 65535") from None
    return parts
