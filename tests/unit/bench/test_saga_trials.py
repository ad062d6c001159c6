"""The sagas that are begun while workers are killed: where they write, and how many of them fail."""

import pytest
from msgspec import structs

from bench.sagas.chaos import FAILING, share_of, starts
from bench.sagas.declared import ALL, THREE, Shape, saga
from bench.sagas.points import OF_STORES, POINTS_OF
from bench.sagas.refusing import refuses
from bench.sagas.stand import content_of
from schemas.writes import STORES, store_of
from streams.runtime.faults import POINTS


def test_a_trial_of_all_stores_writes_to_each_of_them() -> None:
    assert {store_of(write) for write in saga(1, 1_000, shape=ALL).writes.values()} == set(STORES)


@pytest.mark.parametrize("shape", [THREE, ALL])
def test_what_two_sagas_leave_is_told_apart_in_every_store(shape: Shape) -> None:
    one, other = saga(1, 1_000, shape=shape).writes, saga(2, 2_000, subject=1, shape=shape).writes
    assert {write.entity for write in [*one.values(), *other.values()]} == {"trial:1"}
    assert [step for step in one if content_of(one[step]) == content_of(other[step])] == []
    assert {content_of(structs.replace(write, op="delete")) for write in one.values()} == {None}


@pytest.mark.parametrize("shape", [THREE, ALL])
def test_a_fifth_of_the_sagas_fails_and_at_any_of_their_steps(shape: Shape) -> None:
    share = share_of(shape)
    refused = [
        {step for step, write in one.writes.items() if refuses(share, structs.replace(write, undo=True))}
        for one in starts(10_000, shape)
    ]
    assert sum(map(bool, refused)) / 10_000 == pytest.approx(FAILING, abs=0.02)
    assert set[str]().union(*refused) == set(shape.steps)


def test_workers_of_sagas_are_killed_at_every_point_that_there_is() -> None:
    assert {point for points in POINTS_OF.values() for point in points} == set(POINTS)
    assert set(POINTS) - set(POINTS_OF["sagas"]) == set(OF_STORES), "a coordinator has no store"
