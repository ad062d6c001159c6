"""Where the servers are, read from the address. Pure."""

from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

_FORMS = (
    "redis://HOST:PORT/DB, rediss://..., unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT "
    "or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"
)


class BadAddress(ValueError):  # noqa: N818 - says what the address is
    """An address that cannot be read; the message never repeats it, because it may hold a password."""


class Address(NamedTuple):
    """What an address says. `hosts` is empty for a socket file, whose path is `path`."""

    kind: Literal["single", "cluster", "sentinel"]
    tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = ""


def address_of(url: str) -> Address:
    """Read an address.

    Raises:
        BadAddress: it has none of the forms.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    login, _, places = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    said = Address(
        "cluster" if kind == "cluster" else "sentinel" if kind == "sentinel" else "single",
        tls=scheme == "rediss",
        username=unquote(username),
        password=unquote(password),
    )
    if scheme == "unix" and not kind and parts.path:
        return said._replace(path=parts.path)
    if scheme not in ("redis", "rediss") or kind not in ("", "cluster", "sentinel") or not places:
        raise BadAddress(f"it is none of {_FORMS}")
    hosts = tuple(_host(place, 26_379 if kind == "sentinel" else 6_379) for place in places.split(","))
    words = [unquote(word) for word in parts.path.split("/") if word]
    if kind == "cluster":
        if words not in ([], ["0"]):
            raise BadAddress("a cluster has database 0 only")
        return said._replace(hosts=hosts)
    if kind == "sentinel":
        if not words:
            raise BadAddress(
                "behind the sentinels stands the name of their service: redis+sentinel://HOST:PORT/SERVICE"
            )
        service, *words = words
        return said._replace(hosts=hosts, service=service, database=_database(words))
    if len(hosts) != 1:
        raise BadAddress("several hosts need redis+cluster:// or redis+sentinel://")
    return said._replace(hosts=hosts, database=_database(words))


def _host(place: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        port = parts.port
    except ValueError as error:
        raise BadAddress("a port is no number") from error
    if not parts.hostname:
        raise BadAddress(f"a host is missing; it is none of {_FORMS}")
    return parts.hostname, port or default


def _database(words: list[str]) -> int:
    if len(words) > 1 or (words and not words[0].isdecimal()):
        raise BadAddress("the database is a number")
    return int(words[0]) if words else 0
