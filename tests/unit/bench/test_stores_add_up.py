"""What has to be in a store in the end, and what is told when it is not."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from bench.stores.adding_up import differences, newest, unaccounted
from bench.stores.servers import KINDS
from bench.stores.writes import writes
from connectors.sinks.contract import Held
from schemas.receipts import Receipt, Result
from schemas.writes import BaseWrite, CacheWrite, StoreName, decode_write, encode_write

AT = datetime(2026, 5, 1, tzinfo=UTC)


def write(entity: str, version: int, **given: str) -> CacheWrite:
    op = "delete" if given.get("op") == "delete" else "upsert"
    return CacheWrite(
        entity=entity, version=version, source="s", event_id="e", occurred_at=AT, key=entity, value=version, op=op
    )


def receipt(entity: str, version: int, result: Result = "applied") -> Receipt:
    return Receipt(store="cache", entity=entity, version=version, source="s", event_id="e", result=result, at=AT)


def test_a_store_with_the_last_version_of_each_entity_adds_up() -> None:
    sent = [write("a", 1), write("b", 2), write("a", 4, op="delete"), write("a", 3)]
    held = {("a", "s"): Held(version=4, deleted=True, copies=0), ("b", "s"): Held(version=2)}
    assert differences(newest(sent), held) == []


@pytest.mark.parametrize("held", [None, Held(version=1), Held(version=2, copies=2), Held(version=2, deleted=True)])
def test_what_is_missing_old_twice_or_gone_is_told(held: Held | None) -> None:
    found = differences(newest([write("a", 1), write("a", 2)]), {} if held is None else {("a", "s"): held})
    assert len(found) == 1
    assert found[0].startswith("a is ")


def test_every_write_needs_an_end_and_none_may_take_effect_twice() -> None:
    sent = [write("a", 1), write("a", 1), write("b", 2), write("c", 3)]
    ends = [
        receipt("a", 1),
        receipt("a", 1, "superseded"),
        receipt("b", 2),
        receipt("b", 2),
        receipt("c", 3, "captured"),
    ]
    assert unaccounted(sent, ends) == ["c version 3 has no receipt", "b version 2 was applied twice"]


@pytest.mark.parametrize("store", [kind.store for kind in KINDS.values()])
def test_the_load_of_a_store_repeats_deletes_and_is_the_same_again(store: StoreName) -> None:
    some: list[BaseWrite] = list(islice(writes(store, 100, 7), 2_000))
    assert some == list(islice(writes(store, 100, 7), 2_000))
    assert [decode_write(encode_write(one)) for one in some] == some
    assert {one.op for one in some} == {"upsert", "delete"}
    assert len({one.version for one in some}) < len(some)
    assert len({one.entity for one in some}) <= 100
