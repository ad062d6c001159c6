"""Names of entities, and the common part of all writes that follow from one fact."""

from datetime import datetime
from typing import TypedDict

EVENTS = "events"  # the version line of all that travellers say and do
AGREED = "agreed"  # the version line of what several sources have agreed on


class Cause(TypedDict):
    """What all writes of one fact share.

    Where a write is made for every event the four are named: unpacking them into a struct takes three times as long.
    """

    version: int
    source: str
    event_id: str
    occurred_at: datetime


def entity(kind: str, *parts: str) -> str:
    """Return "<kind>:<part>:..."; a colon within a part is escaped, so different parts never give the same name."""
    name = ":".join((kind, *parts))
    if name.count(":") == len(parts) and "%" not in name:  # nearly always, and three times as fast
        return name
    return ":".join((kind, *[escaped(part, ":") for part in parts]))


def escaped(part: str, separator: str) -> str:
    """Return a part without the separator in it; different parts stay different."""
    return part.replace("%", "%25").replace(separator, f"%{ord(separator):02X}")
