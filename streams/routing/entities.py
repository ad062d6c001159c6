"""Names of entities, and the common part of all writes that follow from one fact."""

from datetime import datetime
from typing import TypedDict

from schemas.entities import entity, escaped

__all__ = ["AGREED", "EVENTS", "Cause", "entity", "escaped"]

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
