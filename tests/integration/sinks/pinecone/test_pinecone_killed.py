"""What a writer of Pinecone leaves behind when it is killed between a vector and the ledger's entry for it."""

from itertools import islice
from typing import Any

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, Held
from connectors.sinks.errors import Unavailable
from deploy.local.pinecone import Fault, PineconeStandIn
from schemas.writes import VectorWrite
from tests.integration.sinks.pinecone.pinecone_writes import (
    BEYOND_THE_SDK,
    SOURCE,
    Opened,
    stored,
    texts,
    vector,
    write,
)

AWAY = Fault(path="travelos-versions/vectors/upsert", status=503, times=BEYOND_THE_SDK)


def killed_before_the_entry(service: PineconeStandIn, opened: Opened, *batch: VectorWrite) -> None:
    """Have a batch's vectors be there without its entries. A ledger that refuses them stands for the kill."""
    sink = opened()
    sink.before(batch)  # has the ledger say its number, so that the entries are what is refused
    service.fail(AWAY)
    with pytest.raises(Unavailable):
        sink.write(batch)


@pytest.mark.parametrize(
    "again",
    [
        write("a", 2, values=vector(0.0, 1.0)),
        write("a", 2, namespace="trips"),
        write("a", 2, op="delete"),
    ],
    ids=["another vector", "another namespace", "delete"],
)
def test_a_write_that_was_killed_before_its_entry_is_taken_when_it_comes_again(
    service: PineconeStandIn, opened: Opened, again: VectorWrite
) -> None:
    """What it replaced is gone. That was told before it was written the first time, so nothing is told now."""
    opened().write([write("a", 1)])
    again = msgspec.structs.replace(again, undo=True)
    killed_before_the_entry(service, opened, again)
    sink = opened(freshness_seconds=0.5)
    assert sink.before([again]) == [None]
    assert sink.write([again]) == [APPLIED]
    assert texts(service, again.namespace) == ({} if again.op == "delete" else {"a": "text 2"})
    assert len(stored(service)) == (again.op != "delete")


def test_a_record_that_is_ahead_of_its_entry_is_not_waited_for(service: PineconeStandIn, opened: Opened) -> None:
    opened().write([write("a", 1)])
    killed_before_the_entry(service, opened, write("a", 2, values=vector(0.0, 1.0)))
    sink = opened(freshness_seconds=1_000.0)  # a wait would not end before the test's time is over
    assert sink.before([write("a", 2, values=vector(0.0, 1.0), undo=True)]) == [None]


def test_a_write_waits_while_what_it_would_replace_does_not_show(service: PineconeStandIn, opened: Opened) -> None:
    """Taken without its undo, what it replaces could not be brought back."""
    sink = opened(freshness_seconds=0.2)
    sink.write([write("a", 1)])
    service.lag(60.0)
    sink.write([write("a", 2, values=vector(0.0, 1.0))])
    with pytest.raises(Unavailable, match="freshness_seconds"):
        sink.before([write("a", 3, undo=True)])
    assert sink.stored([write("a", 3)]) == [None]
    service.settle()
    (undo,) = sink.before([write("a", 3, undo=True)])
    assert undo is not None
    assert (undo.version, undo.text) == (2, "text 2")


@pytest.mark.parametrize("killed", [1, 2], ids=["smaller", "larger"])
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2), (1, 1, 1), (3,)], ids=str)
@pytest.mark.parametrize(
    "changes",
    [{"values": vector(0.0, 1.0)}, {"metadata": {"stars": 4}}, {"op": "delete"}],
    ids=["vector", "field", "delete"],
)
def test_a_batch_that_is_cut_differently_after_a_kill_ends_as_if_there_had_been_none(
    service: PineconeStandIn, opened: Opened, killed: int, sizes: tuple[int, ...], changes: dict[str, Any]
) -> None:
    """The entry says what came before the kill, so it must not be taken for what the record is like."""
    opened().write([write("a", 1)])
    history = [write("a", 2, **changes), write("a", 3), write("a", 4, metadata={"rating": 1})]
    killed_before_the_entry(service, opened, *history[:killed])
    sink, rest = opened(), iter(history)
    for size in sizes:
        assert sink.write(list(islice(rest, size))) == [APPLIED] * size
    (found,) = stored(service)["places"].values()
    opened(index="straight", version_index="straight-versions").write(history)
    assert found == stored(service, "straight")["places"]["a"]


def test_vectors_that_were_cleared_away_come_back_also_when_the_answer_to_that_was_lost(
    service: PineconeStandIn, opened: Opened
) -> None:
    sink = opened()
    sink.write([write("a", 1)])
    service.fail(Fault(path="travelos/vectors/delete", status=503, times=BEYOND_THE_SDK, applied=True))
    with pytest.raises(Unavailable):
        sink.delete_matching("places", {"entity": {"$eq": "a"}})
    assert opened().write([write("a", 2)]) == [APPLIED]
    assert texts(service) == {"a": "text 2"}


def test_a_vector_that_a_kill_left_in_another_namespace_is_cleared_away_there_only(
    service: PineconeStandIn, opened: Opened
) -> None:
    sink = opened()
    sink.write([write("a", 1)])
    service.fail(Fault(path="travelos/vectors/delete", status=503, times=BEYOND_THE_SDK))
    with pytest.raises(Unavailable):
        sink.write([write("a", 2, namespace="trips")])
    assert stored(service).keys() == {"places", "trips"}
    assert sink.delete_matching("trips", {"entity": {"$eq": "a"}}) == 1
    assert sink.held([("a", SOURCE)]) == {("a", SOURCE): Held(version=1)}
    assert sink.write([write("a", 2, namespace="trips")]) == [APPLIED]
    assert stored(service).keys() == {"trips"}
