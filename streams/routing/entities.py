"""Names of entities, and the common part of all writes that follow from one fact."""

from datetime import datetime
from typing import TypedDict

from schemas.entities import entity, escaped

__all__ = ["AGREED", "EVENTS", "LARGEST_EVENT_VERSION", "Cause", "entity", "escaped", "write_version"]

EVENTS = "events"  # the version line of all that travellers say and do
AGREED = "agreed"  # the version line of what several sources have agreed on
LARGEST_EVENT_VERSION = 2**62 - 1


class Cause(TypedDict):
    """What all writes of one fact share.

    Where a write is made for every event the four are named: unpacking them into a struct takes three times as long.
    """

    version: int
    source: str
    event_id: str
    occurred_at: datetime


def write_version(version: int) -> int:
    """Return the version of an event's writes: twice the event's own, which is LARGEST_EVENT_VERSION at most.

    So the number after it is free for the write that takes one back, whatever a producer counts in: with versions 5
    and 6 of two events, what took back the first was as new as the second, and the second was superseded everywhere.
    """
    return version << 1
