"""One transaction at a time for a partition, and all of its tables or none."""

from typing import Any

import pytest

from streams.runtime.app import StreamApp
from streams.runtime.partition_store import StateUnavailable
from streams.runtime.publisher import PublishFailed, TryAgain
from streams.runtime.transactions import Transactions


async def test_one_transaction_at_a_time_for_a_partition(transactions: Transactions) -> None:
    async with transactions.lock(1):
        assert transactions.lock(1).locked()
        assert not transactions.lock(2).locked()


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
