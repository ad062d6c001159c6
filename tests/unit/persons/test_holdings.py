"""What belongs to a person, as writes tell it: all of it, nothing of others, in whatever order they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.persons import persons_of
from schemas.writes import CacheWrite, GraphWrite, SearchWrite, Write, encode_write, store_of
from streams.persons.holdings import Holding, Holdings, Line, by_store, entities_of
from streams.routing.changes import RowChange, route_change
from streams.routing.entities import Cause, entity
from streams.routing.examples import NOON, VECTOR, deletes, events, inserts
from streams.routing.table import route

WRITES = [write for embedded in events().values() for write in route(embedded)]
AT_ALL: Cause = {"version": 7, "source": "events", "event_id": "e-1", "occurred_at": NOON}


@pytest.mark.parametrize("name", events())
def test_every_write_of_every_event_is_about_its_traveller(name: str) -> None:
    assert {write.entity for write in route(events()[name]) if "ann" not in persons_of(write)} == set()


def test_a_friendship_is_about_both() -> None:
    (friend,) = [write for write in route(events()["friend_added"]) if isinstance(write, GraphWrite)]
    assert persons_of(friend) == {"ann", "bob"}


@pytest.mark.parametrize("rows", [inserts(), deletes()])
def test_the_row_of_a_traveller_is_about_them_and_a_place_about_nobody(rows: dict[str, RowChange]) -> None:
    assert all(persons_of(write) == {"ann"} for write in route_change(rows["public.users"], None))
    assert all(persons_of(write) == set() for write in route_change(rows["public.restaurants"], VECTOR))
    assert persons_of(SearchWrite(**AT_ALL, entity="place:ann", name="ann")) == set()


@given(st.text("aA:%3/", min_size=1, max_size=6))
def test_live_state_is_about_whom_its_name_ends_with_however_awkward(user: str) -> None:
    name = entity("position", user)
    assert persons_of(CacheWrite(**AT_ALL, entity=name, key=name)) == {user}


@given(st.permutations(WRITES), st.lists(st.sampled_from(WRITES)))
def test_what_is_found_does_not_depend_on_the_order_or_on_repeats(writes: list[Write], again: list[Write]) -> None:
    assert _lines([*writes, *again]) == _lines(WRITES)


def test_each_entity_is_found_once_with_its_newest_version() -> None:
    write = WRITES[0]
    holdings = Holdings("ann")
    holdings.take_all([structs.replace(write, version=version) for version in (5, 9, 7)])
    assert [one.write.version for one in holdings.all()] == [9]


def test_a_delete_tells_the_version_whether_it_is_read_first_or_last() -> None:
    write = next(one for one in WRITES if store_of(one) == "relational")
    gone = structs.replace(write, op="delete", version=2**60, columns={})  # pyright: ignore[reportCallIssue]
    for order in ([gone, write], [write, gone]):
        holdings = Holdings("ann")
        holdings.take_all(order)
        assert [one.write.version for one in holdings.all()] == [2**60]


def test_what_is_found_are_deletes_without_content() -> None:
    for one in _all():
        assert one.write.op == "delete"
        assert b"quiet place" not in encode_write(one.write)
        assert b"bytes of the file" not in encode_write(one.write)


def test_the_nodes_that_relations_made_are_found_and_go_last() -> None:
    names = [one.write.entity for one in by_store(_all())["graph"]]
    assert set(names[-2:]) == {"user:ann", "photo:f-2"}
    assert "place:r-17" not in names


def test_of_others_nothing_is_found_but_what_is_shared() -> None:
    assert [one.write.entity for one in _all("bob")] == ["FRIEND:ann:bob", "user:bob"]
    assert _all("carl") == []


def test_entities_are_named_as_sinks_ask_for_them() -> None:
    assert ("position:ann", "events") in set(entities_of(_all()))


def _all(user: str = "ann") -> list[Holding]:
    holdings = Holdings(user)
    holdings.take_all(WRITES)
    return holdings.all()


def _lines(writes: list[Write]) -> list[tuple[Line, int]]:
    holdings = Holdings("ann")
    holdings.take_all(writes)
    return [(one.line, one.write.version) for one in holdings.all()]
