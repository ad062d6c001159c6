"""State that knows which record last changed it."""

from typing import Any

import msgspec
import pytest

from streams.runtime.app import StreamApp
from streams.runtime.entries import DELETED, Entry, envelope
from streams.runtime.publisher import PublishFailed
from streams.runtime.tables import StateTable, TableView
from streams.runtime.transactions import Transaction, Transactions


class Clock:
    """A wall clock that stands still."""

    def __init__(self) -> None:
        self.ms = 1_777_636_800_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(state_app: StreamApp) -> StateTable[int]:
    return state_app.state("numbers", int, changelog="numbers-log")


@pytest.fixture
def expiring(state_app: StreamApp, clock: Clock) -> StateTable[int]:
    return StateTable(state_app, "seen", int, changelog="seen-log", ttl_seconds=10, clock=clock)


@pytest.fixture
def begin(table: StateTable[int], transactions: Transactions) -> Any:
    def begin() -> tuple[Transaction, TableView[int]]:
        transaction = transactions.begin(0)
        return transaction, transaction.view(table)

    return begin


def entry(raw: bytes | None) -> Entry[int]:
    return msgspec.msgpack.decode(raw or b"", type=Entry[int])


def one_more(number: int | None) -> int:
    return (number or 0) + 1


def nothing(_: int | None) -> None:
    return None


def fail(_: int | None) -> int:
    raise ZeroDivisionError


async def test_a_transaction_reads_what_it_wrote_and_others_see_it_after_the_commit(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 5))
    assert view.get("a") == 1
    assert begin()[1].get("a") is None
    await transaction.commit()
    assert begin()[1].get("a") == 1
    assert begin()[1].position("a", "in") == 5
    assert begin()[1].position("a", "other") == -1


async def test_a_key_goes_to_the_changelog_once_with_its_last_value(begin: Any, changelog: Any, source: Any) -> None:
    transaction, view = begin()
    for number in range(10):
        view.put("a", number, source("in", number))
    await transaction.commit()
    (record,) = changelog.sent
    assert (record.topic, record.key, record.partition) == ("numbers-log", b"a", 0)
    assert entry(record.value) == Entry({"in": 9}, 9)


async def test_nothing_is_changed_when_the_changelog_does_not_take_it(begin: Any, changelog: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 1))
    changelog.fails = True
    with pytest.raises(PublishFailed):
        await transaction.commit()
    assert begin()[1].get("a") is None


async def test_text_and_its_utf8_bytes_are_one_key(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("café", 1, source("in", 1))
    view.update("café".encode(), source("in", 2), one_more)
    await transaction.commit()
    _, view = begin()
    assert view.get("café") == view.get("café".encode()) == 2
    assert list(view.starting_with("caf")) == [("café", 2)]
    assert list(view.starting_with(b"caf")) == [("café".encode(), 2)]


async def test_an_update_counts_each_record_once_however_often_it_comes(begin: Any, source: Any) -> None:
    for _ in range(3):
        transaction, view = begin()
        told = [view.update("a", source("in", offset), one_more) for offset in range(5)]
        assert told[-1] == 5
        await transaction.commit()
    assert begin()[1].position("a", "in") == 4


async def test_an_update_counts_the_records_of_each_topic(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.update("a", source("gps", 7), one_more)
    view.update("a", source("user", 3), one_more)
    await transaction.commit()
    _, view = begin()
    assert view.update("a", source("user", 3), one_more) == 2
    assert view.update("a", source("user", 4), one_more) == 3
    assert (view.position("a", "gps"), view.position("a", "user")) == (7, 4)


async def test_an_update_that_fails_changes_nothing(begin: Any, source: Any) -> None:
    transaction, view = begin()
    with pytest.raises(ZeroDivisionError):
        view.update("a", source("in", 1), fail)
    assert view.position("a", "in") == -1
    assert not view.changes()
    assert view.update("a", source("in", 1), one_more) == 1
    await transaction.commit()


async def test_a_deleted_key_is_a_record_without_a_value_that_carries_its_position(
    begin: Any, changelog: Any, source: Any
) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 1))
    await transaction.commit()
    transaction, view = begin()
    view.delete("a", source("in", 2))
    assert view.get("a") is None
    await transaction.commit()
    record = changelog.sent[-1]
    assert record.value is None
    assert envelope(dict(record.headers)[DELETED]).positions == {"in": 2}
    assert begin()[1].get("a") is None


async def test_a_replay_does_not_bring_a_deleted_key_back(begin: Any, source: Any) -> None:
    for _ in range(2):
        transaction, view = begin()
        view.update("a", source("in", 1), one_more)
        view.delete("a", source("in", 2))
        await transaction.commit()
        assert begin()[1].get("a") is None
    _, view = begin()
    assert view.update("a", source("in", 2), one_more) is None
    assert view.update("a", source("in", 3), one_more) == 1


async def test_a_change_to_none_deletes(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 1))
    assert view.update("a", source("in", 2), nothing) is None
    await transaction.commit()
    assert list(begin()[1].starting_with("")) == []
    assert begin()[1].position("a", "in") == 2


async def test_a_delete_without_a_record_leaves_the_position(begin: Any, changelog: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 1))
    await transaction.commit()
    transaction, view = begin()
    view.delete("a")
    view.delete("never there")
    await transaction.commit()
    assert [record.key for record in changelog.sent] == [b"a", b"a"]
    assert begin()[1].position("a", "in") == 1
    assert begin()[1].update("a", source("in", 1), one_more) is None


async def test_keys_with_a_prefix_are_those_stored_and_those_put_since_but_not_those_deleted(
    begin: Any, source: Any
) -> None:
    transaction, view = begin()
    for key in ("p1\0a", "p1\0b", "p2\0c", "p10\0d", "p1\0f"):
        view.put(key, 1, source("in", 1))
    await transaction.commit()
    transaction, view = begin()
    view.delete("p1\0f", source("in", 2))
    await transaction.commit()
    _, view = begin()
    view.delete("p1\0a")
    view.put("p1\0e", 2, source("in", 3))
    assert list(view.starting_with("p1\0")) == [("p1\0b", 1), ("p1\0e", 2)]
    assert [key for key, _ in view.starting_with("")] == ["p1\0b", "p1\0e", "p10\0d", "p2\0c"]
    assert [key for key, _ in view.between(b"p10", b"p2")] == [b"p10\0d"]


async def test_a_prefix_may_end_in_the_highest_byte(begin: Any, source: Any) -> None:
    transaction, view = begin()
    for key in (b"a\xff", b"a\xff\xff1", b"b"):
        view.put(key, 1, source("in", 1))
    await transaction.commit()
    assert [key for key, _ in begin()[1].starting_with(b"a\xff")] == [b"a\xff", b"a\xff\xff1"]


async def test_prefetching_finds_what_reading_finds(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.put("a", 1, source("in", 1))
    view.put("b", 2, source("in", 2))
    view.delete("b", source("in", 3))
    await transaction.commit()
    _, view = begin()
    view.put("c", 3, source("in", 4))
    view.prefetch(["a", b"b", "c", "d"])
    assert [view.get(key) for key in "abcd"] == [1, None, 3, None]
    assert [view.position(key, "in") for key in "abcd"] == [1, 3, 4, -1]


async def test_keys_that_state_tables_keep_for_themselves_are_refused(begin: Any, source: Any) -> None:
    _, view = begin()
    with pytest.raises(ValueError, match="reserve"):
        view.put(b"\xff\xff\xffoffset", 1, source("in", 1))
    with pytest.raises(ValueError, match="reserve"):
        view.prefetch([b"\xff\xff\xffoffset"])


async def test_an_entry_is_gone_when_its_time_is_over(
    transactions: Transactions, expiring: StateTable[int], clock: Clock, source: Any
) -> None:
    transaction = transactions.begin(0)
    transaction.view(expiring).put("a", 1, source("in", 1))
    await transaction.commit()
    clock.ms += 10_000
    assert transactions.begin(0).view(expiring).get("a") == 1
    clock.ms += 1
    view = transactions.begin(0).view(expiring)
    assert view.get("a") is None
    assert list(view.starting_with("")) == []
    assert view.update("a", source("in", 1), one_more) == 1


async def test_writing_an_entry_again_renews_its_time(
    transactions: Transactions, expiring: StateTable[int], clock: Clock, source: Any
) -> None:
    for offset in range(3):
        transaction = transactions.begin(0)
        transaction.view(expiring).update("a", source("in", offset), one_more)
        await transaction.commit()
        clock.ms += 9_000
    assert transactions.begin(0).view(expiring).get("a") == 3


def test_a_table_asks_for_its_changelog_in_runs(state_app: StreamApp, table: StateTable[int]) -> None:
    assert state_app.run_changelogs == {"numbers-log"}


async def test_a_turn_reads_what_the_turns_before_it_did_and_what_is_not_durable_goes_when_they_fail(
    table: StateTable[int], transactions: Transactions, changelog: Any, source: Any
) -> None:
    async with transactions.turn(0) as transaction:
        view = transaction.view(table)
        for key in ("a", "b", "c"):
            view.put(key, 1, source("in", 1))
        transaction.commit_after(lambda: changelog.publish([]))

    def seen() -> tuple[list[tuple[str, int]], list[int | None]]:
        view = table.view(0)
        view.prefetch(["a", "b"])
        return list(view.starting_with("")), [view.get(key) for key in ("a", "b", "c", "d")]

    before = seen()
    on_the_way: list[object] = []

    async def fail() -> None:
        on_the_way.append(seen())
        raise PublishFailed("away")

    async def change() -> None:
        async with transactions.turn(0) as transaction:
            view = transaction.view(table)
            view.put("a", 2, source("in", 2))
            view.delete("b", source("in", 3))
            view.put("d", 4, source("in", 4))
            transaction.commit_after(fail)

    with pytest.raises(PublishFailed):
        await change()
    assert on_the_way == [([("a", 2), ("c", 1), ("d", 4)], [2, None, 1, 4])]
    assert seen() == before == ([("a", 1), ("b", 1), ("c", 1)], [1, 1, 1, None])
    assert table.view(0).position("a", "in") == 1
