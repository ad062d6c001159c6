"""What this worker has encoded itself need not be decoded, and what somebody changed and did not keep is not seen."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.runtime.app import StreamApp
from streams.runtime.decoded import Decoded
from streams.runtime.entries import Entry, encode
from streams.runtime.publisher import PublishFailed
from streams.runtime.tables import StateTable, TableView
from streams.runtime.transactions import Transaction, Transactions

Begin = Callable[[], tuple[Transaction, TableView[list[int]]]]


@pytest.fixture
def table(state_app: StreamApp) -> StateTable[list[int]]:
    return state_app.state("lists", list[int], changelog="lists-log", reuses=True)


@pytest.fixture
def begin(table: StateTable[list[int]], transactions: Transactions) -> Begin:
    def begin() -> tuple[Transaction, TableView[list[int]]]:
        transaction = transactions.begin(0)
        return transaction, transaction.view(table)

    return begin


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_value_is_given_to_the_next_that_reads_it_and_to_nobody_after_that(
    begin: Begin, source: Any, at_once: bool
) -> None:
    kept = [1]
    transaction, view = begin()
    view.put("a", kept, source("in", 1))
    await transaction.commit()
    read: list[list[int] | None] = []
    for _ in range(2):
        _, view = begin()
        if at_once:
            view.prefetch(["a"])
        read.append(view.get("a"))
        assert view.position("a", "in") == 1
    assert read[0] is kept
    assert read[1] == [1]
    assert read[1] is not kept


async def test_what_a_transaction_that_failed_did_to_a_value_is_not_seen(
    begin: Begin, changelog: Any, source: Any
) -> None:
    transaction, view = begin()
    view.put("a", [1], source("in", 1))
    await transaction.commit()
    transaction, view = begin()
    changed = view.get("a") or []
    changed.append(2)
    view.put("a", changed, source("in", 2))
    changelog.fails = True
    with pytest.raises(PublishFailed):
        await transaction.commit()
    _, view = begin()
    assert (view.get("a"), view.position("a", "in")) == ([1], 1)


async def test_what_somebody_else_wrote_counts(
    begin: Begin, table: StateTable[list[int]], changelog: Any, source: Any
) -> None:
    transaction, view = begin()
    view.put("a", [1], source("in", 1))
    await transaction.commit()
    others = Entry({"in": 2}, [1, 2])
    changelog.add(b"a", encode(others))
    table.store.partition(0).restore(changelog.records[-1:], reached=1)
    _, view = begin()
    assert (view.get("a"), view.position("a", "in")) == ([1, 2], 2)


async def test_a_value_that_is_not_durable_yet_is_not_given_away(begin: Begin, source: Any) -> None:
    """Whoever put it may still tell of it, once it is."""
    kept = [1]
    transaction, view = begin()
    view.put("a", kept, source("in", 1))
    transaction.stage()
    _, next_view = begin()
    assert next_view.get("a") == [1]
    assert next_view.get("a") is not kept
    await transaction.commit()


def test_the_oldest_make_way() -> None:
    decoded = Decoded(most=2)
    entries = {key: Entry[Any]({}, key) for key in (b"a", b"b", b"c")}
    for key, entry in entries.items():
        decoded.keep(key, b"raw", entry)
    assert len(decoded) == 2
    assert decoded.take(b"a", b"raw") is None
    assert decoded.take(b"b", b"other") is None
    assert decoded.take(b"c", b"raw") is entries[b"c"]
