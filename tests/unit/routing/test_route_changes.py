"""Rows of Postgres: what an insert writes, a delete removes; names are unique; placeholders reach no store."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.changes import UNAVAILABLE, Change, ChangeSource, InvalidChange, Row, is_unavailable
from schemas.reference import Place, Profile
from schemas.writes import (
    GraphWrite,
    NodeRef,
    SearchWrite,
    WarehouseWrite,
    Write,
    decode_write,
    encode_write,
    key_of,
    store_of,
)
from streams.routing.changes import (
    PLACES,
    TRAVELLERS,
    RowChange,
    agreed_change,
    is_told,
    read_change,
    reference_of,
    route_change,
)
from streams.routing.listings import TOLD
from streams.routing.meaning import Vector

AWKWARD = st.text("aA:%3/", min_size=1, max_size=4)  # everything that escaping is about
TEXT = st.none() | st.text(max_size=8)
VECTOR = Vector(b"\x00\x00\x80?", "m")
AGREED_VERSION = 1_777_636_800_000 << 16  # of May 2026
POSITION = {"lat": st.none() | st.floats(-90, 90), "lon": st.none() | st.floats(-180, 180)}
GRADES = st.none() | st.sampled_from(["[]", '[{"grade": "A", "score": 2}, {"score": 60}]', '[{"date": "2014-03-03"}]'])
ROWS: dict[str, st.SearchStrategy[Row]] = {
    "public.restaurants": st.fixed_dictionaries(
        {"id": AWKWARD, "name": st.text(max_size=8)},
        optional={"cuisine": TEXT, "borough": TEXT, "street": TEXT, "zipcode": TEXT, "grades": GRADES, **POSITION},
    ),
    "public.places": st.fixed_dictionaries(
        {"id": AWKWARD, "name": st.text(max_size=8), "kind": st.sampled_from(["hotel", "attraction"])},
        optional={"area": TEXT, "cuisine": TEXT, "phone": TEXT, "description": TEXT, **POSITION},
    ),
    "public.users": st.fixed_dictionaries(
        {"id": AWKWARD, "name": st.text(max_size=8)}, optional={"home_city": TEXT, "language": TEXT, "diet": TEXT}
    ),
    "public.invoices": st.fixed_dictionaries({"id": AWKWARD | st.integers(), "paid": st.booleans()}),
}
PLACEHOLDERS: list[Any] = [
    UNAVAILABLE,
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    [UNAVAILABLE],
    list(UNAVAILABLE.encode()),
    ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"],
    {UNAVAILABLE: UNAVAILABLE},
]


def source(table: str, lsn: int | None = 100, name: str = "cdc.travel") -> ChangeSource:
    schema, _, table = table.partition(".")
    return ChangeSource(
        version="3.4",
        connector="postgresql",
        name=name,
        ts_ms=1_777_636_800_000,
        db="travel",
        schema=schema,
        table=table,
        lsn=lsn,
    )


def inserted(table: str, row: Row, key: Row | None = None, lsn: int = 100) -> RowChange:
    change = Change(after=row, source=source(table, lsn), op="c")
    return read(change, {"id": row["id"]} if key is None else key)


def deleted(table: str, row: Row, lsn: int = 101) -> RowChange:
    return read(Change(before=row, source=source(table, lsn), op="d"), {"id": row["id"]})


def read(change: Change, key: Row | None) -> RowChange:
    found = read_change(change, key)
    assert found is not None
    return found


def routed(change: RowChange) -> list[Write]:
    return route_change(change, None if change.listing is None else VECTOR)


def named(writes: Sequence[Write], op: str) -> set[tuple[str, str]]:
    return {(store_of(write), write.entity) for write in writes if write.op == op and store_of(write) != "warehouse"}


@st.composite
def tables_and_rows(draw: st.DrawFn) -> tuple[str, Row]:
    table = draw(st.sampled_from(list(ROWS)))
    return table, draw(ROWS[table])


@given(tables_and_rows(), st.booleans())
def test_a_delete_removes_every_entity_that_the_insert_wrote_in_its_order(drawn: tuple[str, Row], whole: bool) -> None:
    table, row = drawn
    there, gone = routed(inserted(table, row)), routed(deleted(table, row if whole else {"id": row["id"]}))
    assert named(there, "upsert") <= named(gone, "delete")
    assert named(gone, "upsert") == set()
    keys = {(store_of(write), write.entity): (key_of(write), start(write)) for write in there}
    for write in gone:
        assert write.version > there[0].version
        assert write.source == there[0].source
        # An upsert and a delete of one entity must not pass each other on different partitions.
        assert keys.get((store_of(write), write.entity), (key_of(write), start(write))) == (key_of(write), start(write))


@given(tables_and_rows())
def test_what_an_insert_does_not_say_any_more_is_removed(drawn: tuple[str, Row]) -> None:
    table, row = drawn
    before = routed(inserted(table, row))
    after = routed(
        inserted(table, {name: row[name] for name in row if name in {"id", "name", "kind", "paid"}}, lsn=101)
    )
    assert named(before, "upsert") <= named(after, "upsert") | named(after, "delete")


@given(tables_and_rows())
def test_a_delete_carries_no_content(drawn: tuple[str, Row]) -> None:
    bare = {"store", "entity", "version", "source", "event_id", "occurred_at", "op"}
    for write in routed(deleted(*drawn)):
        if write.op == "delete":
            fields = set(json.loads(encode_write(write)))
            assert fields <= bare | {"node", "relation", "start", "namespace"}


@given(tables_and_rows())
def test_every_change_of_every_table_is_one_row_of_history(drawn: tuple[str, Row]) -> None:
    table, row = drawn
    for change, op in ((inserted(table, row), "c"), (deleted(table, row), "d")):
        (history,) = [write for write in routed(change) if isinstance(write, WarehouseWrite)]
        assert (history.op, history.dataset, history.type) == ("upsert", "changes", f"{table}.{op}")
        assert history.body["row"] == row


@given(tables_and_rows())
def test_writes_carry_the_lsn_and_the_name_of_their_source_and_survive_their_way_through_kafka(
    drawn: tuple[str, Row],
) -> None:
    for write in routed(inserted(*drawn)):
        assert (write.version, write.source) == (100, "cdc.travel")
        assert decode_write(encode_write(write)) == write


SOURCES = st.builds(
    ChangeSource,
    version=st.text(max_size=3),
    connector=st.text(max_size=3),
    name=st.text(max_size=3) | st.just("x" * 300),
    ts_ms=st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**42),
    db=st.text(max_size=3),
    schema=st.just("public") | AWKWARD,
    table=st.sampled_from(["places", "restaurants", "users", "invoices"]),
    lsn=st.none() | st.integers(-2, 2**63),
)


@given(
    st.from_type(Change),
    SOURCES,
    st.none() | st.one_of(list(ROWS.values())),
    st.none() | st.dictionaries(AWKWARD, AWKWARD | st.integers() | st.just("x" * 5_000), max_size=2),
)
def test_any_envelope_is_refused_or_gives_writes_that_can_be_read(
    change: Change, source: ChangeSource, row: Row | None, key: Row | None
) -> None:
    change = msgspec.structs.replace(change, source=source, after=change.after if row is None else row)
    try:
        found = read_change(change, key)
    except InvalidChange:
        return
    for write in [] if found is None else routed(found):
        assert decode_write(encode_write(write)) == write


@given(tables_and_rows(), tables_and_rows())
def test_two_rows_never_share_an_entity(first: tuple[str, Row], second: tuple[str, Row]) -> None:
    (table, row), (other_table, other) = first, second
    shared = named(routed(inserted(table, row)), "upsert") & named(routed(inserted(other_table, other)), "upsert")
    # New York's restaurants and Cambridge's places are one kind of entity; their ids differ by prefix.
    same_kind = any({table, other_table} <= kind for kind in (PLACES, TRAVELLERS))
    assert bool(shared) <= (same_kind and str(row["id"]) == str(other["id"]))


@given(st.lists(AWKWARD, min_size=2, max_size=2), st.lists(AWKWARD, min_size=2, max_size=2))
def test_keys_of_several_columns_are_told_apart(first: list[str], second: list[str]) -> None:
    names = [
        routed(inserted("public.invoices", {"a": one[0], "b": one[1]}, {"a": one[0], "b": one[1]}))[-1].entity
        for one in (first, second)
    ]
    assert (names[0] == names[1]) == (first == second)


@given(st.data(), tables_and_rows(), st.sampled_from(PLACEHOLDERS))
def test_a_value_that_was_not_sent_is_refused_with_its_column_and_the_fix(
    data: st.DataObject, drawn: tuple[str, Row], placeholder: Any
) -> None:
    table, row = drawn
    column = data.draw(st.sampled_from([name for name in row if name != "id"] or ["name"]))
    with pytest.raises(InvalidChange) as refused:
        inserted(table, {**row, column: placeholder})
    assert f"column {column}" in str(refused.value)
    assert f"ALTER TABLE {table} REPLICA IDENTITY FULL" in str(refused.value)


@given(tables_and_rows(), st.sampled_from(PLACEHOLDERS))
def test_a_delete_needs_no_values_and_passes_none_on_that_were_not_sent(
    drawn: tuple[str, Row], placeholder: Any
) -> None:
    table, row = drawn
    for write in routed(deleted(table, {**row, "notes": placeholder})):
        if isinstance(write, WarehouseWrite):
            assert write.body["row"] == row


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=4))
def test_values_that_are_no_placeholder_are_values(value: Any) -> None:
    assert is_unavailable(value) == (value in PLACEHOLDERS)


def test_a_row_that_lost_its_cuisine_serves_none_any_more() -> None:
    row = {"id": "p", "name": "Inn", "kind": "hotel", "cuisine": "British"}
    serves, none = (
        next(write for write in routed(inserted("public.places", one)) if write.entity == "SERVES:p")
        for one in (row, {**row, "cuisine": None})
    )
    assert isinstance(serves, GraphWrite)
    assert (serves.op, serves.end) == ("upsert", NodeRef("Cuisine", "british"))
    assert none.op == "delete"


def test_a_restaurant_is_scored_by_its_inspections_the_fewer_points_the_better() -> None:
    def score(grades: str | None) -> float | None:
        row = {"id": "r", "name": "Roma", "grades": grades}
        (found,) = [write for write in routed(inserted("public.restaurants", row)) if isinstance(write, SearchWrite)]
        return found.score

    assert score('[{"score": 0}]') == 1.0
    assert score('[{"score": 5}, {"score": 15}]') == pytest.approx(0.8)
    assert score('[{"score": 500}]') == 0.0
    assert score('[{"score": -1}, {"grade": "A"}]') is None
    assert score(None) is None


def test_what_enrichment_knows_is_the_row_as_it_is_now() -> None:
    place = reference_of(inserted("public.places", {"id": "p", "name": "Inn", "kind": "hotel"}, lsn=7))
    assert place == Place(id="p", name="Inn", kind="hotel", city="Cambridge", lsn=7)
    user = reference_of(inserted("public.users", {"id": "ann", "name": "Ann", "diet": "vegan"}, lsn=8))
    assert user == Profile(id="ann", name="Ann", lsn=8, diet="vegan")
    assert reference_of(deleted("public.users", {"id": "ann"})) is None
    assert reference_of(inserted("public.invoices", {"id": 1})) is None


@pytest.mark.parametrize("op", ["t", "m"])
def test_operations_that_concern_no_row_are_nothing(op: Any) -> None:
    assert read_change(Change(source=source("public.places", None), op=op), None) is None


def start(write: Write) -> NodeRef | None:
    return write.start if isinstance(write, GraphWrite) else None


@given(st.data())
def test_what_enrichment_is_told_follows_from_the_columns_that_tell_whether_it_is(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(TOLD)))
    before, other = data.draw(ROWS[table]), data.draw(ROWS[table])
    told = {column: value for column, value in before.items() if column in TOLD[table]}
    after = {column: value for column, value in other.items() if column not in TOLD[table]} | told
    was, now = (agreed_change(table, "x", "u", row, AGREED_VERSION, before) for row in (before, after))
    assert is_told(now)
    assert reference_of(was) == reference_of(now)
    assert (was.listing and was.listing.text) == (now.listing and now.listing.text)


def test_nothing_counts_as_told_of_what_was_not_there_and_of_what_is_gone() -> None:
    row = {"id": "x", "name": "Roma", "kind": "hotel"}
    assert not is_told(agreed_change("public.places", "x", "c", row, AGREED_VERSION, None))
    assert not is_told(agreed_change("public.places", "x", "d", None, AGREED_VERSION, row))
    assert not is_told(agreed_change("public.places", "x", "u", {**row, "name": "Napoli"}, AGREED_VERSION, row))
