"""A chunk's rows take their place among the changes, in whatever order things happen."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Update
from connectors.cdc.snapshot_state import Key
from connectors.cdc.tables import Column, Table
from connectors.cdc.window import Floor, Visibility, Window

TEXT = 25
KEYS = 6


def table(*names: str) -> Table:
    return Table("public", "t", "topic", [Column(name, TEXT, -1) for name in names], key=[0])


T = table("id", "version")


class World:
    """A table with a writer for each key, the WAL, a stream of it, and chunks that hold the whole table.

    A transaction is in the WAL when it commits, and others see it later, as when a commit waits for a standby.
    Until then it keeps its locks.
    """

    def __init__(self) -> None:
        self.versions = 0
        self.xid = 10
        self.seen: dict[int, int | None] = dict.fromkeys(range(KEYS), 0)
        self.wal: list[tuple[int, dict[int, int | None]]] = []
        self.unseen: dict[int, dict[int, int | None]] = {}
        self.streamed = 0
        self.window = Window()
        self.unread: list[tuple[Key, list[bytes]]] = []
        self.reading = False
        self.watermark = 0
        self.log: list[tuple[int, int]] = []
        self.last: dict[int, int | None] = {}

    def commit(self, key: int, count: int, remove: bool) -> None:
        keys = [key % KEYS for key in range(key, key + count)]
        if any(key in changes for changes in self.unseen.values() for key in keys):
            return
        self.xid += 1
        self.versions += 1
        changes = dict.fromkeys(keys, None if remove else self.versions)
        self.wal.append((self.xid, changes))
        self.unseen[self.xid] = changes

    def become_seen(self, place: int) -> None:
        if self.unseen:
            xid = sorted(self.unseen)[place % len(self.unseen)]
            self.seen.update(self.unseen.pop(xid))

    def stream(self) -> None:
        if self.streamed == len(self.wal):
            return
        xid, changes = self.wal[self.streamed]
        self.window.began(xid)
        for key, version in changes.items():
            row = [b"%d" % key, b"%d" % (version or 0)]
            if self.window.is_open:
                removed, updated = Delete(1, [row[0], None], False), Update(1, None, False, [*row])
                self.window.changed(T, removed if version is None else updated)
            self.note(key, version, xid)
        self.streamed += 1

    def note(self, key: int, version: int | None, order: int) -> None:
        self.log.append((key, order))
        self.last[key] = version

    def read(self, some: int) -> None:
        if not self.window.is_open:
            self.window.open("public.t", ["id"])
            # As in Postgres: after the last one that is seen, whatever has been begun or committed since.
            xmax = max((xid for xid, _ in self.wal if xid not in self.unseen), default=0) + 1
            in_progress = frozenset(xid for xid in self.unseen if xid < xmax)
            visibility = Visibility(min(in_progress, default=xmax), xmax, in_progress)
            if not self.window.read(visibility):
                self.window.close()
                return
            self.unread = [
                ((b"%d" % key,), [b"%d" % key, b"%d" % version])
                for key, version in self.seen.items()
                if version is not None
            ]
            self.reading = True
        if self.reading:
            for key, row in self.unread[:some]:
                self.window.add(key, [*row])
            del self.unread[:some]
            if not self.unread:
                self.window.complete()
                self.reading = False
                self.watermark = len(self.wal)

    def send(self) -> bool:
        """Send a row; whether the chunk is done."""
        if not self.window.is_open or self.reading or self.streamed < self.watermark:
            return False
        rows = self.window.take(1)
        for key, version in rows:
            assert isinstance(key, bytes)
            assert isinstance(version, bytes)
            written_by = next((xid for xid, changes in self.wal if int(version) in changes.values()), 0)
            self.note(int(key), int(version), written_by)
        if not rows:
            self.window.close()
        return not rows


steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, KEYS - 1), st.integers(1, 3), st.booleans()),
        st.tuples(st.just("become_seen"), st.integers(0, 9)),
        st.tuples(st.just("stream")),
        st.tuples(st.just("read"), st.integers(1, 4)),
        st.tuples(st.just("send")),
    ),
    max_size=60,
)


@given(steps)
def test_no_row_of_a_chunk_is_older_than_what_was_sent_and_in_the_end_all_are_there(
    script: list[tuple[object, ...]],
) -> None:
    world = World()
    for name, *arguments in script:
        getattr(world, str(name))(*arguments)
    while world.unseen:
        world.become_seen(0)
    while world.streamed < len(world.wal):
        world.stream()
    done = False
    while not done:
        if not world.window.is_open or world.reading:
            world.read(KEYS)
        done = world.send()
    world.read(KEYS)
    while not world.send():
        pass
    for key in range(KEYS):
        orders = [order for one, order in world.log if one == key]
        assert orders == sorted(orders)
    assert {key: world.last.get(key) for key in range(KEYS)} == world.seen


def opened(*key: str) -> Window:
    window = Window()
    window.open("public.t", key)
    assert window.read(Visibility(5, 5, frozenset()))
    return window


def test_a_change_of_the_key_takes_away_both_rows() -> None:
    window = opened("id")
    for key in (b"1", b"2", b"3"):
        window.add((key,), [key, b"x"])
    window.changed(T, Update(1, [b"1", None], False, [b"2", b"y"]))
    assert window.take(9) == [[b"3", b"x"]]


def test_a_key_that_an_update_leaves_out_is_that_of_the_old_row() -> None:
    window = opened("id")
    window.add((b"1",), [b"1", b"x"])
    window.changed(T, Update(1, [b"1", b"x"], True, [UNCHANGED, b"y"]))
    assert window.take(9) == []


def test_a_change_of_another_table_takes_nothing_away() -> None:
    window = opened("id")
    window.add((b"1",), [b"1", b"x"])
    other = Table("public", "other", "topic", T.columns, key=[0])
    window.changed(other, Delete(2, [b"1", None], False))
    window.truncated(other)
    assert window.take(9) == [[b"1", b"x"]]
    assert not window.spoiled


def test_a_table_that_is_emptied_or_has_another_key_is_read_again() -> None:
    emptied, altered = opened("id"), opened("id")
    emptied.truncated(T)
    altered.changed(table("renamed", "version"), Insert(1, [b"1", b"x"]))
    assert emptied.spoiled
    assert altered.spoiled


def test_rows_without_key_go_as_often_as_what_the_chunk_sees_was_changed() -> None:
    window = opened()
    window.began(4)  # the chunk sees it: the old row is not among its rows
    window.changed(T, Delete(1, [b"1", b"x"], True))
    assert not window.is_gone([b"1", b"x"], [])
    window.began(5)
    window.changed(T, Delete(1, [b"1", b"x"], True))
    window.changed(T, Insert(1, [b"1", b"x"]))
    assert [window.is_gone([b"1", b"x"], []) for _ in range(2)] == [True, False]


def test_rows_that_are_sent_as_they_are_read_go_when_the_stream_has_brought_their_key() -> None:
    window = opened("id")
    window.changed(T, Update(1, None, False, [b"1", b"y"]))
    assert [window.is_gone([key, b"x"], [0]) for key in (b"1", b"1", b"2")] == [True, True, False]


def test_ids_of_transactions_wrap_around() -> None:
    billion = 1 << 32
    visibility = Visibility(billion - 5, billion + 5, frozenset({billion - 5, billion + 2}))
    assert [visibility.sees(xid % billion) for xid in (billion - 6, billion - 5, billion - 4, billion + 1)] == [
        True,
        False,
        True,
        True,
    ]
    assert [visibility.sees(xid) for xid in (2, 4, 5, 6)] == [False, True, False, False]


def test_the_floor_rises_once_all_transactions_have_ended_that_were_open_at_the_watermark() -> None:
    floor = Floor(100)
    # 10 had written before the watermark and was the last one to begin, so no snapshot tells of it.
    floor.seen(Visibility(7, 9, frozenset({7})), 200, begun_after=11)
    assert (floor.lsn, floor.raised) == (98, False)
    floor.seen(Visibility(10, 12, frozenset({10})), 300, begun_after=13)
    assert floor.lsn == 98
    floor.seen(Visibility(11, 15, frozenset({11})), 400, begun_after=15)
    assert (floor.lsn, floor.raised) == (198, True)


def test_the_floor_is_no_lsn_that_a_change_may_have() -> None:
    """A change that began where a watermark ended, at 200, had the LSN of a row of its own key."""
    floor = Floor(104)
    assert floor.lsn % 8 != 0  # where records begin
    floor.seen(Visibility(7, 7, frozenset()), 200, begun_after=8)
    floor.seen(Visibility(8, 9, frozenset()), 304, begun_after=10)
    assert 104 < floor.lsn < 200
    assert floor.lsn % 8 != 0
