"""All tables of a transaction or none, and the turns of a partition: in order, and as if one came after the other."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.app import StreamApp
from streams.runtime.entries import Changes
from streams.runtime.partition_store import StateUnavailable
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed, TryAgain
from streams.runtime.staged import Staged
from streams.runtime.transactions import Overtaken, Transactions


async def test_the_tables_of_a_transaction_are_committed_together(
    state_app: StreamApp, transactions: Transactions, changelog: Any, source: Any
) -> None:
    one = state_app.state("one", int, changelog="one-log")
    two = state_app.state("two", str, changelog="two-log")
    for fails in (True, False):
        changelog.fails = fails
        transaction = transactions.begin(0)
        assert transaction.view(one) is transaction.view(one)
        transaction.view(one).put("a", 1, source("in", 1))
        transaction.view(two).put("a", "x", source("in", 1))
        if fails:
            with pytest.raises(PublishFailed):
                await transaction.commit()
            assert transactions.begin(0).view(one).get("a") is None
            assert transactions.begin(0).view(two).get("a") is None
    await transaction.commit()
    assert transactions.begin(0).view(one).get("a") == 1
    assert transactions.begin(0).view(two).get("a") == "x"
    assert [record.topic for record in changelog.sent] == ["one-log", "two-log"]


async def test_a_table_that_comes_first_is_in_its_changelog_before_the_others_are_asked_for(
    state_app: StreamApp, transactions: Transactions, changelog: Any, source: Any
) -> None:
    one = state_app.state("one", int, changelog="one-log")
    two = state_app.state("two", str, changelog="two-log")
    transaction = transactions.begin(0)
    transaction.view(one).put("a", 1, source("in", 1))
    transaction.view(two, first=True).put("a", "x", source("in", 1))
    await transaction.commit()
    assert [record.topic for record in changelog.sent] == ["two-log", "one-log"]


async def test_a_transaction_without_changes_publishes_nothing(
    state_app: StreamApp, transactions: Transactions, changelog: Any
) -> None:
    transaction = transactions.begin(0)
    assert transaction.view(state_app.state("one", int, changelog="one-log")).get("a") is None
    await transaction.commit()
    assert changelog.sent == []


async def test_a_partition_that_is_taken_away_in_the_middle_is_tried_again_by_its_next_owner(
    state_app: StreamApp, transactions: Transactions, source: Any
) -> None:
    table = state_app.state("one", int, changelog="one-log")
    transaction = transactions.begin(0)
    transaction.view(table).put("a", 1, source("in", 1))
    await table.store.stop()
    with pytest.raises(StateUnavailable) as raised:
        await transaction.commit()
    assert isinstance(raised.value, TryAgain)


class Changelog:
    """Takes what is published, or refuses it."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fails = False

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.fails:
            raise PublishFailed("refused")
        self.sent += records
        return {("names-log", 0): len(self.sent) - 1}


class Brokers:
    """Acknowledges the outputs of each turn when it is told to, or refuses them."""

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[None]] = {}

    async def publish(self, turn: str) -> None:
        await self.asked.setdefault(turn, asyncio.get_running_loop().create_future())

    def acknowledge(self, turn: str) -> None:
        self.asked[turn].set_result(None)

    def refuse(self, turn: str) -> None:
        self.asked[turn].set_exception(PublishFailed("refused"))


async def settled() -> None:
    """Return when every task waits for something that only the test can bring."""
    for _ in range(20):
        await asyncio.sleep(0)  # one turn of the event loop


class Names:
    """A table of one key, the names of the turns that it has seen; in memory."""

    name, changelog = "names", "names-log"

    def __init__(self) -> None:
        self.stored = b""
        self.staged = Staged()

    def view(self, partition: int) -> "NamesView":
        assert partition == 0
        return NamesView(self)


class NamesView:
    def __init__(self, table: Names) -> None:
        self._table = table
        self.names = table.staged.get(b"k") or table.stored

    def changes(self) -> Changes:
        return Changes([(b"k", self.names)], [])

    def stage(self, changes: Changes) -> Callable[[], None]:
        return partial(self._table.staged.drop, self._table.staged.add(changes))

    def write(self, changes: Changes, *, reached: int) -> None:
        [(_, self._table.stored)] = changes.puts


class Turns:
    """Turns that append their names, a letter each, to the value of one key."""

    def __init__(self) -> None:
        self.table = Names()
        self.changelog = Changelog()
        self.brokers = Brokers()
        self.transactions = Transactions(cast(Publisher, self.changelog))

    def start(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._turn(name))

    async def _turn(self, name: str) -> None:
        async with self.transactions.turn(0) as transaction:
            transaction.view(self.table).names += name.encode()
            transaction.commit_after(lambda: self.brokers.publish(name))

    @property
    def stored(self) -> bytes:
        return self.table.stored

    @property
    def logged(self) -> list[bytes | None]:
        return [record.value for record in self.changelog.sent]


async def test_a_turn_begins_before_the_one_before_it_is_durable_and_sees_what_it_did() -> None:
    turns = Turns()
    tasks = turns.start("a"), turns.start("b")
    await settled()
    assert set(turns.brokers.asked) == {"a", "b"}
    turns.brokers.acknowledge("b")
    await settled()
    assert (turns.logged, turns.stored) == ([], b"")  # not before what it has seen
    turns.brokers.acknowledge("a")
    await asyncio.gather(*tasks)
    assert (turns.logged, turns.stored) == ([b"a", b"ab"], b"ab")


async def test_turns_of_different_partitions_do_not_wait_for_each_other(transactions: Transactions) -> None:
    async with transactions.turn(0), transactions.turn(1):
        pass


async def test_a_turn_without_a_commit_changes_nothing_and_holds_nobody_up() -> None:
    turns = Turns()
    async with turns.transactions.turn(0) as transaction:
        transaction.view(turns.table).names += b"a"
    with suppress(ZeroDivisionError):
        async with turns.transactions.turn(0) as transaction:
            transaction.view(turns.table).names += b"b" * (1 // 0)
    async with turns.transactions.turn(0) as transaction:
        assert transaction.view(turns.table).names == b""


async def test_a_turn_that_is_cancelled_takes_those_that_saw_it_with_it() -> None:
    turns = Turns()
    first, second = turns.start("a"), turns.start("b")
    await settled()
    first.cancel()
    turns.brokers.acknowledge("b")
    done = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError, Overtaken]
    assert (turns.logged, turns.stored) == ([], b"")


async def test_a_turn_that_was_computing_when_one_before_it_failed_is_to_come_again() -> None:
    turns = Turns()
    first = turns.start("a")
    await settled()

    async def compute_while_the_first_fails() -> None:
        async with turns.transactions.turn(0) as transaction:
            assert transaction.view(turns.table).names == b"a"
            turns.brokers.refuse("a")
            await asyncio.wait([first])
            transaction.commit_after(lambda: turns.brokers.publish("b"))

    with pytest.raises(Overtaken):
        await compute_while_the_first_fails()
    assert isinstance(first.exception(), PublishFailed)
    assert (turns.logged, turns.stored) == ([], b"")


@given(st.permutations("abcde"), st.sets(st.sampled_from("abcde")), st.booleans())
async def test_whatever_fails_in_whatever_order_what_is_durable_is_as_if_turns_came_one_after_the_other(
    answers: list[str], refused: set[str], changelog_fails: bool
) -> None:
    turns = Turns()
    tasks = [turns.start(name) for name in "abcde"]
    await settled()
    for name in answers:
        if name in refused:
            turns.brokers.refuse(name)
        else:
            turns.brokers.acknowledge(name)
        await settled()
        turns.changelog.fails = changelog_fails and name == "c"
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    durable = "".join(name for name, outcome in zip("abcde", outcomes, strict=True) if outcome is None)
    assert durable == "abcde"[: len(durable)]
    assert all(isinstance(one, TryAgain) for one in outcomes if one is not None)
    if not changelog_fails:
        assert durable == "abcde".partition(min(refused, default="f"))[0]
    assert turns.stored == durable.encode()
    turns.changelog.fails = False
    again = turns.start("x")
    await settled()
    turns.brokers.acknowledge("x")
    await again
    assert turns.stored == f"{durable}x".encode()
