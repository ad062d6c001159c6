"""What is put off while a store lags behind: low priority, and never what removes something."""

from collections.abc import Iterator
from typing import cast

import msgspec
import pytest

from schemas.headers import LOW_PRIORITY
from schemas.writes import STORES, RelationalWrite, Write, encode_write, store_of
from streams.delivery.shedding import may_wait
from streams.routing import examples
from streams.routing.changes import route_change
from streams.routing.table import route
from streams.runtime.records import Record
from tests.unit.delivery.stand_ins import CATALOGUE, StandInRecord


def every_write() -> Iterator[Write]:
    """Yield what every rule of routing gives."""
    for event in examples.events().values():
        yield from route(event)
    for change in (*examples.inserts().values(), *examples.deletes().values()):
        yield from route_change(change, examples.VECTOR)


def record(write: Write, *, low: bool) -> Record:
    topic = CATALOGUE.writes(store_of(write)).name
    return cast(Record, StandInRecord(encode_write(write), 0, topic, headers=(LOW_PRIORITY,) if low else ()))


def is_request_for_erasure(write: Write) -> bool:
    return isinstance(write, RelationalWrite) and write.table == "erasure_requests"


def test_low_priority_may_wait_in_every_store_and_no_other() -> None:
    upserts = [one for one in every_write() if one.op == "upsert" and not is_request_for_erasure(one)]
    assert {store_of(one) for one in upserts} == set(STORES)
    assert all(may_wait(record(one, low=True), one) for one in upserts)
    assert not any(may_wait(record(one, low=False), one) for one in upserts)


def test_deletes_are_never_put_off_in_any_store_however_low() -> None:
    deletes = [one for one in every_write() if one.op == "delete"]
    assert deletes
    # Those of an erasure name what a store holds of a person, whatever made it.
    deletes += [msgspec.structs.replace(one, op="delete") for one in every_write()]
    assert {store_of(one) for one in deletes} == set(STORES)
    assert not any(may_wait(record(one, low=True), one) for one in deletes)


@pytest.mark.parametrize("low", [True, False])
def test_a_request_for_an_erasure_is_never_put_off(low: bool) -> None:
    (asked,) = filter(is_request_for_erasure, every_write())
    assert not may_wait(record(asked, low=low), asked)
