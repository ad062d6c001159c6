"""How keys are named, and what of a write goes into a script. Pure.

A value lies under `<prefix>{<key>}`, its versions under `<prefix>versions:{<entity>}`. The braces put both into one
slot of a cluster when the key is the entity, as it is for all that the router writes.
"""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from schemas.writes import CacheWrite

_MAX_TTL_SECONDS = 10_000 * 365 * 86_400  # beyond that Redis' clock in milliseconds would overflow with some more zeros
_MAX_LATITUDE = 85.05112878  # of Redis' geo commands, which are a web Mercator projection

_GLOB, _ESCAPED = re.compile(r"[*?\[\]^\\-]"), r"\\\g<0>"

_encode = msgspec.json.Encoder().encode


class Unfit(ValueError):  # noqa: N818 - becomes the outcome Rejected
    """A write that Redis cannot hold; the message names the field."""


class Names(NamedTuple):
    """The names of keys and channels of one installation."""

    prefix: str

    def value(self, key: str) -> str:
        """Return where the value of a key lies."""
        return f"{self.prefix}{{{key}}}"

    def key(self, value: str) -> str:
        """Return the key whose value lies here; the inverse of `value`."""
        return value.removeprefix(self.prefix)[1:-1]

    def versions(self, entity: str) -> str:
        """Return where the versions of an entity lie."""
        return f"{self.prefix}versions:{{{entity}}}"

    def versions_of_user(self, user: str) -> str:
        """Return the pattern of SCAN that fits where the versions of a person's entities lie, and perhaps others."""
        ending = _GLOB.sub(_ESCAPED, user.replace("%", "%25").replace(":", "%3A"))
        return f"{_GLOB.sub(_ESCAPED, self.prefix)}versions:{{*:{ending}}}"

    @property
    def all_versions(self) -> str:
        """The pattern of SCAN that fits where the versions of all entities lie."""
        return f"{_GLOB.sub(_ESCAPED, self.prefix)}versions:{{*}}"

    def entity(self, versions: str) -> str:
        """Return the entity whose versions lie here; the inverse of `versions`."""
        return versions.removeprefix(f"{self.prefix}versions:")[1:-1]

    @property
    def channels(self) -> str:
        """What the names of channels begin with; the key follows."""
        return f"{self.prefix}changes:"

    @property
    def positions(self) -> tuple[str, str, str, str]:
        """The geo index, the versions of its members, when members expire, and when their versions do."""
        index = f"{self.prefix}geo:{{positions}}"
        return index, f"{index}:versions", f"{index}:expiry", f"{index}:versions:expiry"


class _Place(Struct, frozen=True):
    lon: float
    lat: float


def digits(version: int) -> str:
    """Return a version as text that sorts as the number does."""
    return f"{version:019d}"


def arguments(write: CacheWrite) -> tuple[str, str, str, str, str, str, str]:
    """Return what `write.lua` is told of a write.

    Raises:
        Unfit: the time to live is none, or the value cannot be written as JSON.
    """
    if write.op == "delete":
        return write.key, write.source, digits(write.version), digits(write.replaces), "d", "", ""
    ttl = write.ttl_seconds
    if ttl is not None and not 0 < ttl <= _MAX_TTL_SECONDS:
        raise Unfit(f"`ttl_seconds` is {ttl}, not 1 to {_MAX_TTL_SECONDS:,}")
    try:
        value = _encode(write.value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit(f"`value` cannot be written as JSON: {type(error).__name__}") from error
    live = "" if ttl is None else f"{ttl}000"  # in milliseconds
    return write.key, write.source, digits(write.version), digits(write.replaces), "u", live, value


def check_names(write: CacheWrite, *, one_slot: bool) -> None:
    """Raise when a write's names cannot be keys.

    Args:
        write: any.
        one_slot: whether key and entity have to lie in one slot, as in a cluster.

    Raises:
        Unfit: names the field.
    """
    for text in (write.key, write.entity, write.source):
        if not text or text[0] == "}" or not text.isascii():
            _check_names(write)
            break
    if one_slot and write.key != write.entity:
        raise Unfit("`key` differs from `entity`; in a cluster both have to lie in one slot")


def _check_names(write: CacheWrite) -> None:
    for field, text in (("key", write.key), ("entity", write.entity), ("source", write.source)):
        if not text:
            raise Unfit(f"`{field}` is empty")
        if text.startswith("}"):
            raise Unfit(f"`{field}` begins with a brace, which would put its keys into different slots")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unfit(f"`{field}` is not valid Unicode") from error


def position(write: CacheWrite, begins: str) -> tuple[str, str, str, str, str, str, int] | None:
    """Return what `positions.lua` is told of a write; None when it is no position.

    Args:
        write: any; of a position the value has `lat` and `lon` in degrees.
        begins: how the keys of positions begin; the rest is the member of the index.
    """
    if not begins or not write.key.startswith(begins):
        return None
    member = write.key.removeprefix(begins)
    version, replaces = digits(write.version), digits(write.replaces)
    place = _place(write.value) if write.op == "upsert" else None
    if place is None:
        return member, write.source, version, replaces, "", "", 0
    return member, write.source, version, replaces, *place, (write.ttl_seconds or 0) * 1_000


def _place(value: Any) -> tuple[str, str] | None:
    """Return longitude and latitude, where Redis can index them."""
    try:
        found = msgspec.convert(value, _Place)
    except msgspec.ValidationError:
        return None
    longitude, latitude = found.lon, found.lat  # comparisons with NaN are false
    return (repr(longitude), repr(latitude)) if abs(longitude) <= 180 and abs(latitude) <= _MAX_LATITUDE else None
