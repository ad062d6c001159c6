"""The rows of one chunk between the moment they were read and the moment they are sent. Pure.

A chunk is read while the stream goes on. Its rows take their place in the topic once the stream has come to where they
were read; whatever the stream brings meanwhile for one of them is at least as new, so that row is left out.
Source: Andreakis and Papapanagiotou, "DBLog: A Watermark Based Change-Data-Capture Framework" (2020).
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Update
from connectors.cdc.snapshot_state import Key
from connectors.cdc.tables import Table

RECENT_TRANSACTIONS = 20_000
_XIDS = 1 << 32  # the stream has 32 bits of a transaction id, a snapshot all 64


class Visibility(NamedTuple):
    """Which transactions a query sees, as `pg_current_snapshot` says it.

    Those below `xmin` are seen, those from `xmax` on are not, and those `in_progress` are not.
    """

    xmin: int
    xmax: int
    in_progress: frozenset[int]

    def sees(self, xid: int) -> bool:
        """Whether a transaction of the stream, known by 32 bits, is seen."""
        ago = (self.xmax - xid) % _XIDS
        full = self.xmax - (ago if ago < _XIDS // 2 else ago - _XIDS)
        return full < self.xmax and full not in self.in_progress


class Floor:
    """The LSN that rows of chunks carry: below every change that a chunk from now on may miss.

    The LSN of the watermark would be wrong: a transaction that is open when a chunk is read may have written before
    it. So a watermark becomes the floor once all transactions have ended that were open when it was written: those with
    a lower id than a transaction that was begun after it. An `xmax` is no such id, since it follows the last
    transaction that has ended, and not the last one that has begun.

    A watermark is known by where its record ends. Another one may begin right there, and a row and a change of its key
    would have the same LSN. So the floor is two bytes before, where no record begins; and even, as the versions of all
    facts are, since the odd ones are of what takes them back.

    Args:
        lsn: before which nothing is streamed.

    Attributes:
        lsn: of the rows of a chunk that is read now.
        raised: whether it is another one than at first.
    """

    def __init__(self, lsn: int) -> None:
        self.lsn = max(lsn - 2, 0)
        self.raised = False
        self._next: tuple[int, int] | None = None

    def seen(self, visibility: Visibility, watermark: int, begun_after: int) -> None:
        """Note what the next chunk sees, where the last watermark ended, and the id of a transaction begun after it."""
        if self._next is not None and visibility.xmin >= self._next[1]:
            before = self._next[0] - 2
            self.raised |= before > self.lsn
            self.lsn = max(self.lsn, before)
            self._next = None
        if self._next is None:
            self._next = watermark, begun_after


class Window:
    """What the stream has brought since a chunk was read.

    Told of every transaction and of every row change of captured tables; cheap as long as it is closed.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.spoiled = False  # the table was emptied or has other columns: its rows must be read again
        self.rows: dict[Key, Tuple] = {}
        self._table = ""
        self._key: tuple[str, ...] = ()
        self._touched: set[Key] | None = None
        self._gone: Counter[Key] = Counter()
        self._visibility: Visibility | None = None
        self._xid = 0
        self._places: tuple[Table, list[int]] | None = None
        self._recent: deque[int] = deque(maxlen=RECENT_TRANSACTIONS)

    def open(self, table: str, key: Sequence[str]) -> None:
        """Begin, before the chunk is read. Without key columns a row is known by all of them."""
        self.close()
        self.is_open = True
        self._table = table
        self._key = tuple(key)
        self._touched = set()

    def read(self, visibility: Visibility) -> bool:
        """Note what the chunk sees; whether it can be used.

        A transaction is in the WAL, and may have been streamed, before others see it: long before when its commit waits
        for a standby. A chunk that misses such a transaction would be older than what has been sent. It may be the
        latest of all: then it is none of those in progress, since `xmax` follows the last one that others see.
        """
        self._visibility = visibility
        in_progress, xmax = {_short(xid) for xid in visibility.in_progress}, visibility.xmax
        return not any(xid in in_progress or (xid - xmax) % _XIDS < _XIDS // 2 for xid in self._recent)

    def add(self, key: Key, row: Tuple) -> None:
        """Add a row of the chunk, unless the stream has brought something newer."""
        if self._touched is None or key not in self._touched:
            self.rows[key] = row

    def complete(self) -> None:
        """Note that all rows of the chunk have been added."""
        self._touched = None

    def take(self, count: int) -> list[Tuple]:
        """Return some of the rows that are left, and forget them."""
        keys = [key for key, _ in zip(self.rows, range(count), strict=False)]
        return [self.rows.pop(key) for key in keys]

    def is_gone(self, row: Tuple, places: Sequence[int]) -> bool:
        """Whether a row of a chunk that was not added was changed since it was read.

        A row without key, as `places` then says, is gone as often as one like it was changed.
        """
        if places:
            return tuple([row[place] for place in places]) in (self._touched or ())
        key = tuple(row)
        if self._gone[key] == 0:  # pyright: ignore[reportArgumentType]
            return False
        self._gone[key] -= 1  # pyright: ignore[reportArgumentType]
        return True

    @property
    def touched(self) -> int:
        """Keys that are remembered because the chunk is not complete."""
        return len(self._touched or ()) + len(self._gone)

    def close(self) -> None:
        """Forget the chunk."""
        self.is_open = self.spoiled = False
        self.rows = {}
        self._touched = None
        self._gone = Counter()
        self._visibility = None
        self._places = None

    def began(self, xid: int) -> None:
        """Note that the changes of a transaction follow."""
        self._xid = xid
        self._recent.append(xid)

    def changed(self, table: Table, change: Insert | Update | Delete) -> None:
        """Note a change of the open transaction."""
        if str(table) != self._table:
            return
        if not self._key:
            self._without_key(change)
            return
        places = self._places_in(table)
        if places is None:
            self.spoiled = True
            return
        old = None if isinstance(change, Insert) else change.old
        new = None if isinstance(change, Delete) else change.new
        if old is not None:
            self._touch(tuple([old[place] for place in places]))
        if new is not None:
            # What an update leaves out is as it was in the old row.
            whole = [old[place] if new[place] is UNCHANGED and old is not None else new[place] for place in places]
            self._touch(tuple(whole))

    def truncated(self, table: Table) -> None:
        """Note that a table was emptied."""
        if str(table) == self._table:
            self.spoiled = True

    def _touch(self, key: tuple[object, ...]) -> None:
        self.rows.pop(key, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if self._touched is not None:
            self._touched.add(key)  # pyright: ignore[reportArgumentType]

    def _without_key(self, change: Insert | Update | Delete) -> None:
        if isinstance(change, Insert) or change.old is None:
            return
        if self._visibility is None or not self._visibility.sees(self._xid):
            self._gone[tuple(change.old)] += 1  # pyright: ignore[reportArgumentType]

    def _places_in(self, table: Table) -> list[int] | None:
        if self._places is None or self._places[0] is not table:
            names = [column.name for column in table.columns]
            if not set(self._key) <= set(names):
                return None
            self._places = table, [names.index(name) for name in self._key]
        return self._places[1]


def _short(xid: int) -> int:
    return xid % _XIDS
