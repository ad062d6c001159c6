"""Agents that take batches: decoding, what leaves when, and what a failed attempt leaves behind. No brokers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.connection import Connection
from schemas.headers import (
    ATTEMPTS,
    ERROR_CLASS,
    ERROR_MESSAGE,
    ERROR_OFFSET,
    ERROR_STACKTRACE,
    ERROR_STAGE,
    header_map,
)
from streams.runtime.app import StreamApp
from streams.runtime.batches import Batch, BatchAgent, BatchFunction, decode_records, decoder
from streams.runtime.crash_journal import CrashJournal
from streams.runtime.processing import WrongUse, process_run
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed, TryAgain
from streams.runtime.records import KafkaRecord, Run
from streams.runtime.retry import RetryPolicy
from streams.runtime.state_folder import StateFolder
from streams.runtime.transactions import Transactions

TWICE = RetryPolicy(attempts=2, first_pause=0, longest_pause=0)


class Order(msgspec.Struct):
    customer: str
    amount: int


class StandInRun:
    def __init__(self, values: Sequence[bytes | None]) -> None:
        self.tp = TP("orders", 0)
        self.records = [
            KafkaRecord("orders", 0, offset, 0, b"key-%d" % offset, value, (("trace", b"1"),))
            for offset, value in enumerate(values)
        ]
        self.stale = False
        self.leaving = asyncio.Event()
        self.finished = False
        self.reached: list[int] = []

    async def pause(self, seconds: float) -> bool:
        return not self.leaving.is_set()

    def finish(self) -> None:
        self.finished = True

    def reach(self, offset: int) -> None:
        self.reached.append(offset)

    def leave(self) -> None:
        pass

    def hold_up(self, reason: str, seconds: float) -> None:
        pass


class StandInTransaction:
    """Keeps what is put until it is committed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._changes: dict[str, int] = {}
        self.publish: Callable[[], Awaitable[object]] | None = None

    def view(self, table: object) -> dict[str, int]:
        return self._changes

    def commit_after(self, publish: Callable[[], Awaitable[object]]) -> None:
        self.publish = publish

    def commit(self) -> None:
        self._world.steps.append("commit")
        self._world.state.update(self._changes)


class World:
    """Stand-ins for brokers and tables that remember in which order they were used."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.state: dict[str, int] = {}
        self.published: list[Outgoing] = []
        self.failures = 0
        self.turns = 0

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.failures:
            self.failures -= 1
            raise PublishFailed("the brokers are away")
        self.steps.append("publish")
        self.published.extend(records)
        return {}

    @asynccontextmanager
    async def turn(self, partition: int) -> AsyncGenerator[StandInTransaction]:
        assert partition == 0
        self.turns += 1
        transaction = StandInTransaction(self)
        yield transaction
        if transaction.publish is not None:
            await transaction.publish()
            transaction.commit()

    def begin(self, partition: int) -> StandInTransaction:
        assert partition == 0
        return StandInTransaction(self)

    def letters(self) -> list[tuple[int, dict[str, str]]]:
        letters = [header_map(one.headers) for one in self.published if one.topic == "dead"]
        return [(int(one[ERROR_OFFSET]), dict(one)) for one in letters]

    def sent(self) -> list[bytes | None]:
        return [one.value for one in self.published if one.topic != "dead"]

    async def run(self, values: Sequence[bytes | None], function: BatchFunction, **options: Any) -> StandInRun:
        run = options.pop("run", None) or StandInRun(values)
        agent = BatchAgent(
            function=function,
            decode=options.pop("decode", decoder(Order, None)),
            tombstones=options.pop("tombstones", False),
            keeps_state=options.pop("keeps_state", True),
            dead_letters="dead",
            component="shop.orders",
            publisher=cast(Publisher, self),
            transactions=cast(Transactions, self),
        )
        real = cast(Run, run)
        await process_run(real, agent.work_on(real), retry=TWICE, crashes=CrashJournal(Path("none"), "g"))
        return run


def order(amount: int) -> bytes:
    return msgspec.json.encode(Order("ann", amount))


# -- decoding


@given(st.lists(st.sampled_from([b"1", b"22", b"x", None])), st.booleans())
def test_each_record_has_a_value_or_a_reason_and_order_holds(values: list[bytes | None], tombstones: bool) -> None:
    records = StandInRun(values).records
    decoded, invalid = decode_records(records, int, tombstones=tombstones)
    fine = {b"1", b"22", None} if tombstones else {b"1", b"22"}
    assert decoded == [None if value is None else int(value) for value in values if value in fine]
    assert [one.record.offset for one in invalid] == [at for at, value in enumerate(values) if value not in fine]


def test_a_decoder_that_lacks_something_outside_is_no_fault_of_the_record() -> None:
    def away(_: bytes) -> None:
        raise TryAgain("the registry is away")

    with pytest.raises(TryAgain):
        decode_records(StandInRun([b"1"]).records, away)


def test_a_type_beside_a_decoder_of_ones_own_is_refused() -> None:
    with pytest.raises(ValueError, match="leave it out"):
        decoder(Order, int)


async def test_records_that_do_not_decode_are_dead_lettered_with_their_bytes_and_the_function_gets_the_others() -> None:
    world = World()
    seen: list[tuple[int, int]] = []

    async def function(batch: Batch[Order]) -> None:
        seen.extend((record.offset, one.amount) for record, one in batch)
        assert [one.record.offset for one in batch.invalid] == [1, 2, 4]
        assert (batch.topic, batch.partition, len(batch)) == ("orders", 0, 2)

    wrong = b'{"customer":"bob","amount":"three"}'
    run = await world.run([order(1), b"{", wrong, order(4), None], function)
    assert seen == [(0, 1), (3, 4)]
    assert [offset for offset, _ in world.letters()] == [1, 2, 4]
    assert [said[ERROR_CLASS] for _, said in world.letters()] == ["DecodeError", "ValidationError", "NullValue"]
    assert "$.amount" in world.letters()[1][1][ERROR_MESSAGE]
    assert "tombstones=True" in world.letters()[2][1][ERROR_MESSAGE]
    assert {said[ERROR_STAGE] for _, said in world.letters()} == {"decode"}
    letter = world.published[1]
    assert (letter.key, letter.value, letter.headers[0]) == (b"key-2", wrong, ("trace", b"1"))
    assert run.finished


async def test_a_batch_of_only_bad_records_goes_to_the_dead_letters_at_once_and_the_function_is_not_called() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        raise AssertionError("there is nothing to process")

    await world.run([b"{"] * 1_000, function)
    assert [offset for offset, _ in world.letters()] == list(range(1_000))
    assert world.steps.count("publish") <= 2


async def test_deletions_are_given_as_none_where_they_are_asked_for() -> None:
    world, seen = World(), list[Any]()

    async def function(batch: Batch[Order | None]) -> None:
        seen.extend(batch.values)

    await world.run([order(1), None], function, tombstones=True)
    assert seen == [Order("ann", 1), None]
    assert world.letters() == []


# -- what leaves when


async def test_outputs_are_acknowledged_before_the_state_is_committed_and_then_the_run_is_finished() -> None:
    world = World()
    run = StandInRun([order(1)])

    async def function(batch: Batch[Order]) -> None:
        batch.table(cast(Any, "totals"))["ann"] = 1
        batch.send("out", key="ann", value={"total": 1})
        assert world.steps == []
        assert not run.finished

    await world.run([], function, run=run)
    assert world.steps[:2] == ["publish", "commit"]
    assert world.state == {"ann": 1}
    assert run.finished


async def test_values_are_sent_as_bytes_text_json_or_null() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        for value in (b"raw", "text", Order("ann", 2), None, 7):
            batch.send("out", key="k", value=value)
        batch.send("out", key=None, value=b"", headers=(("h", b"1"),), partition=3)

    await world.run([order(1)], function)
    assert world.sent() == [b"raw", b"text", b'{"customer":"ann","amount":2}', None, b"7", b""]
    assert [one.key for one in world.published] == [b"k"] * 5 + [None]
    assert (world.published[-1].partition, list(world.published[-1].headers)) == (3, [("h", b"1")])


async def test_a_failed_attempt_leaves_nothing_behind() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        view = batch.table(cast(Any, "totals"))
        for record, one in batch:
            view[str(record.offset)] = one.amount
            batch.send("out", key="ann", value=str(record.offset))
            if one.amount < 0:
                raise ZeroDivisionError("negative")

    await world.run([order(1), order(2), order(-3), order(4)], function)
    assert world.sent() == [b"0", b"1", b"3"]
    assert world.state == {"0": 1, "1": 2, "3": 4}
    [(offset, said)] = world.letters()
    assert (offset, said[ATTEMPTS], said[ERROR_STAGE], said[ERROR_CLASS]) == (2, "2", "process", "ZeroDivisionError")
    assert "negative" in said[ERROR_STACKTRACE]


async def test_a_run_of_only_records_that_raise_is_dead_lettered_wholly_in_order_and_in_one_go() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        raise ArithmeticError("whatever it is")

    run = await world.run([order(1)] * 1_000, function)
    assert [offset for offset, _ in world.letters()] == list(range(1_000))
    assert world.steps == ["publish"]
    assert run.finished


@given(st.lists(st.sampled_from(["fine", "raises", "undecodable", "rejected"]), min_size=1, max_size=30))
async def test_every_record_ends_once_as_output_or_as_dead_letter_and_each_kind_in_order(kinds: list[str]) -> None:
    world = World()
    values = [b"{" if kind == "undecodable" else msgspec.json.encode(Order(kind, 1)) for kind in kinds]

    async def function(batch: Batch[Order]) -> None:
        for record, one in batch:
            if one.customer == "raises":
                raise ArithmeticError(record.offset)
            if one.customer == "rejected":
                batch.reject(record, "we do not want it")
            else:
                batch.send("out", key=None, value=record.offset)

    await world.run(values, function)
    fine = [offset for offset, kind in enumerate(kinds) if kind == "fine"]
    assert world.sent() == [str(offset).encode() for offset in fine]
    assert sorted(offset for offset, _ in world.letters()) == [one for one in range(len(kinds)) if one not in fine]


async def test_a_dead_letter_leaves_before_or_with_what_comes_after_its_record() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        for record, one in batch:
            if one.amount < 0:
                raise ArithmeticError("negative")
            batch.send("out", key=None, value=record.offset)

    await world.run([order(-1), order(1)], function)
    assert [one.topic for one in world.published] == ["dead", "out"]


async def test_while_the_brokers_are_away_the_batch_is_processed_again_and_nothing_is_lost_or_committed_early() -> None:
    world = World()
    world.failures = 3
    calls: list[int] = []

    async def function(batch: Batch[Order]) -> None:
        calls.append(len(batch))
        batch.send("out", key=None, value=b"1")

    await world.run([order(1), b"{"], function)
    assert calls == [1] * 4
    assert world.sent() == [b"1"]
    assert len(world.letters()) == 1


async def test_a_batch_whose_partition_was_taken_away_meanwhile_leaves_nothing_behind() -> None:
    world = World()
    run = StandInRun([order(1)])

    async def function(batch: Batch[Order]) -> None:
        batch.send("out", key=None, value=b"1")
        run.stale = True

    await world.run([], function, run=run)
    assert world.steps == []
    assert not run.finished


# -- state


async def test_an_agent_with_state_takes_its_turn_and_one_without_waits_for_nobody() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        pass

    await world.run([order(1)], function)
    assert (world.turns, world.steps.count("commit")) == (1, 1)
    await world.run([order(1)], function, keeps_state=False)
    assert (world.turns, world.steps.count("commit")) == (1, 1)


async def test_a_table_in_an_agent_without_state_stops_the_worker_and_names_the_option() -> None:
    world = World()

    async def function(batch: Batch[Order]) -> None:
        class Totals:
            name = "totals"

        batch.table(cast(Any, Totals()))

    with pytest.raises(WrongUse, match=r"table totals .* keeps_state=False"):
        await world.run([order(1)], function, keeps_state=False)
    assert world.steps == []


# -- registration


def test_an_app_knows_the_topics_and_the_lane_of_an_agent_that_takes_batches(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    app = StreamApp("shop", Connection(bootstrap="127.0.0.1:1"), state_folder=folder, partitions=1)

    @app.batches("orders", "returns", value_type=Order, dead_letters="dead", urgent=True)
    async def add_up(batch: Batch[Order]) -> None:
        pass

    assert app.lanes.keys() == app.urgent_topics == {"orders", "returns"}
    assert "add_up" in cast(Any, app.agents)
    assert add_up.__name__ == "add_up"
    folder.close()
