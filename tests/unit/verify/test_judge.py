"""What is wrong with one entity, told from what its writes say and what its store does."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import Held
from connectors.sinks.postgres.merge import Line as RowLine
from connectors.sinks.postgres.merge import RowChange, Value, apply
from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    RelationalWrite,
    SearchWrite,
    StoreName,
    Write,
    store_of,
)
from streams.verify.expectations import Expectations
from streams.verify.judge import judge
from streams.verify.lines import Kind, Line
from tests.unit.verify.kafka_stand_in import AT_MS, TOPIC, TopicInMemory

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Found = dict[tuple[str, str], Held]


def common(version: int, source: str = "events", entity: str = "a", **given: Any) -> dict[str, Any]:
    one = {"entity": entity, "version": version, "source": source, "event_id": "e", "occurred_at": NOW}
    return one | given


def lines_of(*writes: Write, entity: str = "a", low: int = 0, share: float = 1.0) -> list[Line]:
    expectations = Expectations(store_of(writes[0]), share)
    topic = TopicInMemory(writes, low=low)
    expectations.complete = low == 0
    expectations.take(topic.records(), {(TOPIC, 0): low + len(writes)})
    lines = expectations.lines(entity)
    expectations.close()
    return lines


def kinds(
    store: StoreName, lines: list[Line], held: Found, found: BaseWrite | None, *, now_ms: int = AT_MS
) -> list[Kind]:
    return [one.kind for one in judge(store, lines, held, found, now_ms=now_ms)]


def held(version: int, source: str = "events", **given: Any) -> Found:
    return {("a", source): Held(version=version, **given)}


def test_what_two_sources_say_holds_in_the_order_it_arrived_whichever_that_was() -> None:
    one = SearchWrite(**common(5, "one"), name="one")
    two = SearchWrite(**common(900, "two"), name="two")
    lines = lines_of(one, two)
    both = held(5, "one") | held(900, "two")
    assert kinds("search", lines, both, one) == []
    assert kinds("search", lines, both, two) == []
    assert kinds("search", lines, both, SearchWrite(**common(5, "one"), name="three")) == ["different"]
    assert kinds("search", lines, held(5, "one"), one) == ["missing"]
    assert kinds("search", lines, held(5, "one") | held(899, "two"), one) == ["stale"]


def test_what_one_of_two_sources_deleted_may_be_there_or_not() -> None:
    one = SearchWrite(**common(5, "one"), name="one")
    lines = lines_of(one, SearchWrite(**common(9, "two", op="delete")))
    for copies, found in ((1, one), (0, SearchWrite(**common(0, op="delete")))):
        both = held(5, "one", copies=copies) | held(9, "two", deleted=True, copies=copies)
        assert kinds("search", lines, both, found) == []


def test_an_entity_that_is_there_twice_is_different() -> None:
    write = SearchWrite(**common(5))
    assert kinds("search", lines_of(write), held(5, copies=2), write) == ["different"]


def test_what_a_store_cannot_tell_of_is_different_where_it_tells_of_others() -> None:
    lines = lines_of(SearchWrite(**common(5)))
    assert judge("search", lines, held(5), None, now_ms=AT_MS) == []
    assert [one.kind for one in judge("search", lines, held(5), None, now_ms=AT_MS, tells=True)] == ["different"]
    assert [one.kind for one in judge("search", lines, held(5, copies=0), None, now_ms=AT_MS)] == ["missing"]


def test_a_relation_that_went_with_its_node_is_not_missing() -> None:
    ends: dict[str, Any] = {"start": NodeRef("User", "u"), "end": NodeRef("Place", "p")}
    relation = GraphWrite(**common(5), relation="VISITED", **ends)
    gone = GraphWrite(**common(7, entity="place:p", op="delete"), node=NodeRef("Place", "p"))
    nothing = GraphWrite(**common(0, op="delete"))
    deleted = held(5, deleted=True, copies=0)
    assert kinds("graph", lines_of(relation, gone), deleted, nothing) == []
    assert kinds("graph", lines_of(relation), deleted, nothing) == ["missing"]
    assert kinds("graph", lines_of(relation, low=9), deleted, nothing) == []  # the delete may be older than the topic
    assert kinds("graph", lines_of(relation, gone), held(5, copies=0), nothing) == ["missing"]


def test_a_relation_that_went_with_its_node_is_not_missing_where_the_delete_is_outside_of_the_sample() -> None:
    relation = GraphWrite(**common(5), relation="VISITED", start=NodeRef("User", "u"), end=NodeRef("Place", "p"))
    share = 0.95  # "a" is in the sample
    gone = GraphWrite(**common(6, entity="node-3", op="delete"), node=NodeRef("User", "u"))
    assert lines_of(gone, share=share, entity="node-3") == []
    for order in ((relation, gone), (gone, relation)):
        assert [one.may_be_gone for one in lines_of(*order, share=share)] == [True]


def test_live_state_may_be_gone_once_its_time_is_over_and_not_before() -> None:
    write = CacheWrite(**common(5), key="k", value=1, ttl_seconds=60)
    nothing = CacheWrite(**common(0, op="delete"), key="k")
    for now_ms, expected in ((AT_MS + 59_999, ["missing"]), (AT_MS + 60_000, [])):
        assert kinds("cache", lines_of(write), held(5, deleted=True, copies=0), nothing, now_ms=now_ms) == expected
        assert kinds("cache", lines_of(write), {}, nothing, now_ms=now_ms) == expected
        changed = CacheWrite(**common(5), key="k", value=2)
        assert kinds("cache", lines_of(write), held(5), changed, now_ms=now_ms) == ["different"]


COLUMNS = st.dictionaries(st.sampled_from(["title", "status", "user_id"]), st.sampled_from(["x", "y", None]))
PARTS = st.lists(st.tuples(st.integers(0, 9), COLUMNS, st.booleans()), min_size=1, max_size=10)


@given(parts=PARTS)
def test_a_row_is_expected_to_be_what_its_partial_writes_make_of_it_in_whatever_order(
    parts: list[tuple[int, dict[str, Any], bool]],
) -> None:
    writes: list[RelationalWrite] = []
    for version, columns, deleted in parts:
        known = next((one for one in writes if one.version == version), None)  # a version names one write
        op = "delete" if deleted else "upsert"
        common_fields = common(version, op=op)
        writes.append(known or RelationalWrite(**common_fields, table="trips", key="1", columns=columns))
    line, row = RowLine(table="trips", key="1"), None
    for write in writes:
        change = RowChange()
        apply(write, line, change)
        row = None if change.remove else row
        row = row if change.columns is None else _merged(row, change.columns)
    told = RelationalWrite(**common(0, op="delete"), table="trips", key="1")
    if row is not None:
        told = RelationalWrite(**common(line.version), table="trips", key="1", columns=row)
    known_to_store = held(line.version, deleted=line.deleted, copies=int(row is not None))
    assert kinds("relational", lines_of(*writes), known_to_store, told) == []
    for name in line.columns:
        assert row is not None
        altered = RelationalWrite(**common(line.version), table="trips", key="1", columns=row | {name: "z"})
        assert kinds("relational", lines_of(*writes), known_to_store, altered) == ["different"]


def _merged(row: dict[str, Value] | None, columns: dict[str, Value]) -> dict[str, Value]:
    return {"title": None, "status": None, "user_id": None} | (row or {}) | columns


@pytest.mark.parametrize("text", ["2026-05-01T10:00:00+02:00", "2026-05-01T08:00:00Z", "2026-05-01T08:00:00.000+00:00"])
def test_a_time_is_the_same_in_every_zone(text: str) -> None:
    write = RelationalWrite(**common(5), table="trips", key="1", columns={"started_at": "2026-05-01T08:00:00+00:00"})
    told = RelationalWrite(**common(5), table="trips", key="1", columns={"started_at": text, "title": "not written"})
    assert kinds("relational", lines_of(write), held(5), told) == []
