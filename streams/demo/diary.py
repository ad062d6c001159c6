"""Where the stories write down what happens: identities and times of events."""

from datetime import datetime, timedelta
from random import Random
from typing import TypedDict

from schemas.events import Event

WINDOW = timedelta(hours=20)
_MILLISECOND = timedelta(milliseconds=1)


class Stamp(TypedDict):
    """The fields that all events share."""

    event_id: str
    user_id: str
    occurred_at: datetime


class Diary:
    """Collects events of the WINDOW before `now`.

    No two events have the same id, nor two of one traveller the same time. Times are whole milliseconds.
    """

    def __init__(self, seed: int, now: datetime) -> None:
        self.now = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
        self.start = self.now - WINDOW
        # The same story told at another time is another story: its events must not pass for duplicates of the first.
        self._prefix = f"demo-{seed}-{int(self.now.timestamp()):x}"
        self._numbers: dict[str, int] = {}
        self._events: list[Event] = []
        self._taken: set[tuple[str, datetime]] = set()

    def stamp(self, user_id: str, at: datetime) -> Stamp:
        """Return the shared fields of a new event at, or the next free millisecond after, a time within the window."""
        moment = at.replace(microsecond=at.microsecond // 1_000 * 1_000)
        while (user_id, moment) in self._taken:
            moment += _MILLISECOND
        self._taken.add((user_id, moment))
        return Stamp(event_id=self.identity("event"), user_id=user_id, occurred_at=moment)

    def identity(self, kind: str) -> str:
        """Return the next id of a kind: "demo-<seed>-<now in hex>-<kind>-<number>"."""
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{self._prefix}-{kind}-{number:06d}"

    def add(self, event: Event) -> None:
        """Write down an event whose fields come from `stamp`."""
        self._events.append(event)

    def events(self) -> list[Event]:
        """Return all events by time."""
        return sorted(self._events, key=lambda event: (event.occurred_at, event.event_id))

    def __len__(self) -> int:
        return len(self._events)


def between(rng: Random, start: datetime, end: datetime) -> datetime:
    """Return a time of [start, end)."""
    return start + (end - start) * rng.random()


def split(rng: Random, start: datetime, end: datetime, parts: int) -> list[datetime]:
    """Return `parts` times between start and end, in order, neighbours at least half an even share apart."""
    share = (end - start) / max(parts, 1)
    return [start + share * (number + 0.5 * rng.random()) for number in range(parts)]
