"""State that knows which record last changed it. The store below is a dict, the changelog a list."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.publisher import Outgoing, Publisher, PublishFailed
from streams.runtime.tables import Entry, StateTable, TableView, Transaction, Transactions, supersedes


class Source(NamedTuple):
    topic: str
    offset: int
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[()] = ()


class DictStore:
    """Stands in for RocksDB."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.changelog_offset = -1

    def raw(self, partition: int, key: bytes) -> bytes | None:
        return self.data.get(key)

    def write(self, partition: int, changes: dict[bytes, bytes | None], *, changelog_offset: int) -> None:
        self.changelog_offset = changelog_offset
        for key, value in changes.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value

    def starting_with(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from ((key, self.data[key]) for key in sorted(self.data) if key.startswith(prefix))


class DictTable:
    """Stands in for a state table of integers."""

    name = "numbers"
    changelog = "numbers-changelog"

    def __init__(self) -> None:
        self.store = DictStore()

    def decode(self, raw: bytes) -> Entry[int]:
        return msgspec.msgpack.decode(raw, type=Entry[int])


class Log:
    """Stands in for the publisher."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.fails = False

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.fails:
            raise PublishFailed("away")
        self.records.extend(records)
        return {(record.topic, record.partition or 0): len(self.records) - 1 for record in records}


@pytest.fixture
def table() -> DictTable:
    return DictTable()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def begin(table: DictTable, log: Log) -> Callable[[], tuple[Transaction, TableView[int]]]:
    def begin() -> tuple[Transaction, TableView[int]]:
        transaction = Transaction(0, cast(Publisher, log))
        return transaction, transaction.view(cast(StateTable[int], table))

    return begin


async def test_a_transaction_reads_what_it_wrote_and_others_see_it_after_the_commit(begin: Any, table: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, Source("in", 5))
    assert view.get("a") == 1
    assert begin()[1].get("a") is None
    await transaction.commit()
    assert begin()[1].get("a") == 1
    assert begin()[1].position("a", "in") == 5
    assert begin()[1].position("a", "other") == -1


async def test_a_key_goes_to_the_changelog_once_with_its_last_value(begin: Any, log: Log, table: Any) -> None:
    transaction, view = begin()
    for number in range(10):
        view.put("a", number, Source("in", number))
    await transaction.commit()
    (record,) = log.records
    assert (record.topic, record.key, record.partition) == ("numbers-changelog", b"a", 0)
    assert table.decode(record.value) == Entry({"in": 9}, 9)
    assert table.store.changelog_offset == 0


async def test_nothing_is_changed_when_the_changelog_does_not_take_it(begin: Any, log: Log, table: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, Source("in", 1))
    log.fails = True
    with pytest.raises(PublishFailed):
        await transaction.commit()
    assert table.store.data == {}


async def test_a_deleted_key_is_a_tombstone_in_the_changelog(begin: Any, log: Log, table: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, Source("in", 1))
    await transaction.commit()
    transaction, view = begin()
    view.delete("a")
    assert view.get("a") is None
    await transaction.commit()
    assert log.records[-1].value is None
    assert table.store.data == {}


async def test_keys_with_a_prefix_are_those_stored_and_those_put_since_but_not_those_deleted(begin: Any) -> None:
    transaction, view = begin()
    for key in ("p1\0a", "p1\0b", "p2\0c", "p10\0d"):
        view.put(key, 1, Source("in", 1))
    await transaction.commit()
    _, view = begin()
    view.delete("p1\0a")
    view.put("p1\0e", 2, Source("in", 2))
    assert dict(view.starting_with("p1\0")) == {"p1\0b": 1, "p1\0e": 2}


async def test_positions_of_several_topics_are_kept_side_by_side(begin: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, Source("gps", 7))
    view.put("a", 2, Source("user", 3))
    await transaction.commit()
    _, view = begin()
    assert (view.position("a", "gps"), view.position("a", "user")) == (7, 3)


def entry(value: int, **positions: int) -> bytes:
    return msgspec.msgpack.encode(Entry(positions, value))


def test_restoring_keeps_what_the_rightful_owner_wrote_over_what_a_zombie_wrote_later() -> None:
    owner, zombie = entry(20, user=20), entry(11, user=11)
    assert supersedes(owner, zombie)
    assert not supersedes(zombie, owner)


def test_restoring_takes_tombstones_and_what_it_sees_first() -> None:
    assert supersedes(None, entry(1, user=1))
    assert supersedes(entry(1, user=1), None)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_whatever_order_a_changelog_of_one_topic_is_read_in_the_highest_offset_wins(offsets: list[int]) -> None:
    known: bytes | None = None
    for offset in offsets:
        new = entry(offset, user=offset)
        if supersedes(new, known):
            known = new
    assert known == entry(max(offsets), user=max(offsets))


async def test_one_transaction_at_a_time_for_a_partition(log: Log) -> None:
    transactions = Transactions(cast(Publisher, log))
    async with transactions.lock(1):
        assert transactions.lock(1).locked()
        assert not transactions.lock(2).locked()
