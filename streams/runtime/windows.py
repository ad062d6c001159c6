"""Windowed tables: values by key and window of event time.

The watermark of a partition is the highest event time seen in it, whatever the topic. It only moves when events come:
the windows of a partition that gets none stay open. It is kept in the table, as the last record of a commit in the
changelog: a crash in the middle of a commit leaves it where it was, so that the replay takes for late what was late
before, and nothing else.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar

import faust
from msgspec import Struct

from streams.runtime.entries import Changes
from streams.runtime.records import Record
from streams.runtime.store import StateStore
from streams.runtime.tables import Key, StateTable, TableView
from streams.runtime.window_times import WindowTimes

V = TypeVar("V")

_MARK = b"mark"
_WINDOW = b"window\0"
_ZERO = 1 << 64  # added to starts, so that negative ones sort before the others
_START_BYTES = 9


class Updated(Struct, Generic[V], frozen=True):
    """A record changed its windows, or had done so before.

    `missed` are starts of windows that the record belongs to and that were closed when it came.
    """

    windows: list[tuple[int, V]]  # start in ms, value
    missed: tuple[int, ...] = ()
    replayed: bool = False


class Late(Struct, frozen=True):
    """All windows of a record were closed when it came: it has no effect, and its caller decides where it goes."""

    missed: tuple[int, ...]
    watermark_ms: int


class Closed(Struct, Generic[V], frozen=True):
    """The final value of a key in a window."""

    key: bytes
    start_ms: int
    end_ms: int  # the first ms after the window
    value: V


class WindowsChanged(ValueError):  # noqa: N818 - says what happened
    """The windows in the store are not those that the table was defined with."""


class Mark(Struct, array_like=True, frozen=True):
    """How far a partition is: all that is not a window."""

    watermark_ms: int
    given_to_ms: int | None  # windows that begin before were given out by `closed` and removed
    size_ms: int
    step_ms: int


class Kept(Struct, Generic[V], array_like=True, frozen=True):
    """What lies under a key of the table: a window's value, or the mark."""

    value: V | None = None
    mark: Mark | None = None


class WindowTable(Generic[V]):
    """A table by key and window, partitioned like the topics that feed it.

    Args:
        app: the Faust app.
        name: of the table.
        value_type: a msgspec type. None is no value.
        changelog: name of the changelog topic.
        size: of a window.
        step: between the starts of two windows, of which `size` is a multiple; None for windows that do not overlap.
        lateness: how far the watermark may be past the end of a window that still takes events.
        settings: those of `StateTable`.

    Raises:
        ValueError: the times do not make windows.
    """

    def __init__(
        self,
        app: faust.App,
        name: str,
        value_type: type[V],
        *,
        changelog: str,
        size: timedelta,
        step: timedelta | None = None,
        lateness: timedelta = timedelta(0),
        **settings: Any,
    ) -> None:
        self.name = name
        self.changelog = changelog
        self.times = WindowTimes.of(size, step, lateness)
        self._table: StateTable[Kept[V]] = StateTable(app, name, Kept[value_type], changelog=changelog, **settings)

    @property
    def store(self) -> StateStore:
        """The databases below."""
        return self._table.store

    def view(self, partition: int) -> "WindowView[V]":
        """Return a view of a partition; agents get theirs from a transaction.

        Raises:
            WindowsChanged: the stored windows have another size or step.
        """
        return WindowView(self.name, self.times, self._table.view(partition))


class WindowView(Generic[V]):
    """One partition of a windowed table inside a transaction."""

    def __init__(self, name: str, times: WindowTimes, view: TableView[Kept[V]]) -> None:
        self._times = times
        self._view = view
        self._last: dict[str, Record] = {}  # topic -> the last record that was no replay
        self._latest: Record | None = None
        self._applied: dict[str, int] = {}
        kept = view.get(_MARK)
        mark = None if kept is None else kept.mark
        if mark is not None and (mark.size_ms, mark.step_ms) != (times.size_ms, times.step_ms):
            raise WindowsChanged(
                f"table {name!r} holds windows of {mark.size_ms} ms every {mark.step_ms} ms and is defined with "
                f"`size` {times.size_ms} ms and `step` {times.step_ms} ms: give it another name and changelog"
            )
        self._watermark_ms = None if mark is None else mark.watermark_ms
        self._given_to_ms = None if mark is None else mark.given_to_ms

    @property
    def watermark_ms(self) -> int | None:
        """The highest event time seen in this partition; None before the first."""
        return self._watermark_ms

    def update(
        self, key: Key, time_ms: int, record: Record, change: Callable[[V | None], V | None]
    ) -> Updated[V] | Late:
        """Set the value of each window of an event to `change(value)`, as the effect of a record.

        A replay changes nothing, and is never late: what it gets are the values as they are now.

        Args:
            key: of the event.
            time_ms: when the event happened.
            record: the record that brought it.
            change: gets the value, or None in a new window; returns the new one, or None to remove it.
        """
        if isinstance(key, str):
            key = key.encode()
        starts = self._times.starts(time_ms)
        if record.offset <= self._position(record.topic):
            found = ((start, self.get(key, start)) for start in starts)
            return Updated([(start, value) for start, value in found if value is not None], replayed=True)
        self._last[record.topic] = self._latest = record
        watermark = self._watermark_ms = time_ms if self._watermark_ms is None else max(time_ms, self._watermark_ms)
        open_from = self._times.open_from(watermark)
        missed = tuple(start for start in starts if start < open_from)
        if len(missed) == len(starts):
            return Late(missed, watermark)

        def changed(kept: Kept[V] | None) -> Kept[V] | None:
            value = change(None if kept is None else kept.value)
            return None if value is None else Kept(value)

        windows: list[tuple[int, V]] = []
        for start in starts[len(missed) :]:
            kept = self._view.update(_stored(start, key), record, changed)
            if kept is not None and kept.value is not None:
                windows.append((start, kept.value))
        return Updated(windows, missed)

    def get(self, key: Key, start_ms: int) -> V | None:
        """Return the value of a key in the window that begins at `start_ms`; None once it was given out by `closed`."""
        kept = self._view.get(_stored(start_ms, key.encode() if isinstance(key, str) else key))
        return None if kept is None else kept.value

    def closed(self) -> list[Closed[V]]:
        """Remove the windows that take no more events and return their values, ordered by start and key.

        They are removed when the transaction is committed; a replay of what was not committed gives the same again.
        """
        if self._watermark_ms is None:
            return []
        open_from, given_to = self._times.open_from(self._watermark_ms), self._given_to_ms
        if given_to is not None and open_from <= given_to:
            return []
        # Beginning where the last call ended skips what RocksDB keeps of removed keys until it compacts.
        first = _WINDOW if given_to is None else _stored(given_to, b"")
        found: list[Closed[V]] = []
        for stored, kept in list(self._view.between(first, _stored(open_from, b""))):
            start, key = _read(stored)
            if kept.value is not None:
                found.append(Closed(key, start, start + self._times.size_ms, kept.value))
            self._view.delete(stored, self._latest)
        self._given_to_ms = open_from
        return found

    def changes(self) -> Changes:
        """Return what is to be committed, the mark last."""
        if self._watermark_ms is not None:
            times = self._times
            mark = Mark(self._watermark_ms, self._given_to_ms, times.size_ms, times.step_ms)
            for record in self._last.values():
                self._view.put(_MARK, Kept(mark=mark), record)
        return self._view.changes()

    def stage(self, changes: Changes) -> Callable[[], None]:
        """Have views that are made from now on see changes that are not durable yet; see `TableView.stage`."""
        return self._view.stage(changes)

    def write(self, changes: Changes, *, reached: int) -> None:
        """Apply changes that are in the changelog up to the offset `reached`."""
        self._view.write(changes, reached=reached)

    def _position(self, topic: str) -> int:
        if topic not in self._applied:
            self._applied[topic] = self._view.position(_MARK, topic)
        return self._applied[topic]


def _stored(start_ms: int, key: bytes) -> bytes:
    return _WINDOW + (start_ms + _ZERO).to_bytes(_START_BYTES, "big") + key


def _read(stored: bytes) -> tuple[int, bytes]:
    start = len(_WINDOW) + _START_BYTES
    return int.from_bytes(stored[len(_WINDOW) : start], "big") - _ZERO, stored[start:]
