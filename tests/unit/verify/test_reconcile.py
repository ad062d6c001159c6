"""What the stores hold against what they must hold."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from connectors.sinks.contract import Held, Sink
from connectors.sinks.sqlite.search import SearchSink
from schemas.events import SearchPerformed
from schemas.reference import ResumedEvent, WaitingEvent
from schemas.writes import SearchWrite
from streams.verify.model import Expected
from streams.verify.reconcile import Report, StoreReport, check_letters, check_store, still_waiting

SOURCE = "events"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def write(entity: str, version: int = 1, *, deleted: bool = False) -> SearchWrite:
    return SearchWrite(
        entity=entity,
        version=version,
        source=SOURCE,
        event_id=f"about {entity}",
        occurred_at=NOW,
        op="delete" if deleted else "upsert",
        kind="place",
        name=entity,
    )


def expected(*writes: SearchWrite) -> Expected:
    made = Expected()
    made.add(writes)
    return made


class Holds:
    """A store that says what it was told to say, copies included, which no embedded store can have."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = held

    def held(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Held]:
        return {key: self._held[key[0]] for key in keys if key[0] in self._held}


def check(wanted: Expected, held: Mapping[str, Held], **known: Any) -> StoreReport:
    return check_store("search", cast(Sink[Any], Holds(held)), wanted, **known)


def test_of_the_writes_to_one_entity_the_newest_counts_in_whichever_order_they_come() -> None:
    report = check(expected(write("a", 3), write("a", 1), write("a", 2)), {"a": Held(version=3)})
    assert (report.expected, report.found, report.problems) == (1, 1, [])


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ({}, "search: a is missing (version 2, event about a)"),
        ({"a": Held(version=2, deleted=True)}, "search: a is missing (version 2, event about a)"),
        ({"a": Held(version=1)}, "search: a has version 1, expected 2"),
        ({"a": Held(version=3)}, "search: a has version 3, expected 2"),
        ({"a": Held(version=2, copies=2)}, "search: a is there 2 times"),
    ],
)
def test_what_is_missing_older_newer_or_there_twice_is_a_problem(held: Mapping[str, Held], problem: str) -> None:
    report = check(expected(write("a", 2), write("b", 1)), {"b": Held(version=1), **held})
    assert report.problems == [problem]
    assert (report.expected, report.found) == (2, 1)


@pytest.mark.parametrize("held", [{}, {"a": Held(version=2, deleted=True)}])
def test_what_was_deleted_must_be_gone(held: Mapping[str, Held]) -> None:
    report = check(expected(write("a", 1), write("a", 2, deleted=True)), held)
    assert (report.expected, report.deleted, report.problems) == (0, 1, [])


def test_what_was_deleted_and_is_still_there_is_a_problem() -> None:
    report = check(expected(write("a", 2, deleted=True)), {"a": Held(version=1)})
    assert report.problems == ["search: a was deleted at version 2 and is still there"]


def test_an_event_that_waits_for_its_place_is_not_due_but_one_whose_place_is_there_is() -> None:
    wanted = expected(write("a"), write("b"))
    wanted.unplaced = {"about a"}
    report = check(wanted, {}, waiting={"about a", "about b"})
    assert report.waiting == 1
    assert report.problems == ["search: b is missing (version 1, event about b)"]


def test_an_event_about_a_place_that_never_came_and_that_waits_no_more_must_be_there() -> None:
    wanted = expected(write("a"))
    wanted.unplaced = {"about a"}
    assert check(wanted, {}, waiting=set()).problems


def test_a_write_that_became_a_dead_letter_is_counted_and_no_problem_unless_a_newer_one_came() -> None:
    rejected = {(("search", "a", SOURCE), 1)}
    assert check(expected(write("a", 1)), {}, rejected=rejected).rejected == 1
    newer = check(expected(write("a", 1), write("a", 2)), {}, rejected=rejected)
    assert (newer.rejected, len(newer.problems)) == (0, 1)


@given(st.data())
def test_any_one_row_that_is_removed_or_altered_by_hand_is_noticed(data: st.DataObject) -> None:
    entities = [f"place:{number}" for number in range(5)]
    held = {entity: Held(version=7) for entity in entities}
    assert check(expected(*(write(entity, 7) for entity in entities)), held).problems == []
    victim = data.draw(st.sampled_from(entities))
    change = data.draw(
        st.sampled_from([None, Held(version=6), Held(version=7, deleted=True), Held(version=7, copies=3)])
    )
    altered = {entity: one for entity, one in held.items() if entity != victim} | ({victim: change} if change else {})
    (problem,) = check(expected(*(write(entity, 7) for entity in entities)), altered).problems
    assert victim in problem


def test_a_row_deleted_from_a_real_store_is_missed(tmp_path: Path) -> None:
    sink = SearchSink(tmp_path / "search.db")
    sink.open()
    writes = [write(f"place:{number}") for number in range(20)]
    sink.write(writes)
    assert check_store("search", sink, expected(*writes)).found == 20
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("DELETE FROM documents WHERE entity = 'place:7'")
    database.close()
    report = check_store("search", sink, expected(*writes))
    sink.close()
    assert (report.expected, report.found) == (20, 19)
    assert [problem.split(" (")[0] for problem in report.problems] == ["search: place:7 is missing"]


def test_a_letter_may_be_there_twice_but_not_missing_unexpected_or_for_another_reason() -> None:
    first, second, third = ("t", 0, 1), ("t", 0, 2), ("t", 0, 3)
    wanted = {first: "lat", second: "lon"}
    assert check_letters(wanted, [(first, "lat"), (second, "lon"), (first, "lat")]) == []
    assert check_letters(wanted, [(first, "lat")]) == ["no dead letter for t-0@2: lon"]
    assert check_letters(wanted, [(first, "lat"), (second, "lon"), (third, "id")]) == [
        "an unexpected dead letter for t-0@3: id"
    ]
    assert check_letters(wanted, [(first, "lat"), (second, "id")]) == [
        "the dead letter for t-0@2 says 'id', expected 'lon'"
    ]
    assert "2 different dead letters for t-0@1" in check_letters(
        wanted, [(first, "lat"), (first, "id"), (second, "lon")]
    )


def test_events_wait_until_they_go_on() -> None:
    def record(value: object) -> StoredRecord:
        return StoredRecord(topic="t", partition=0, offset=0, timestamp=0, key=b"k", value=msgspec.json.encode(value))

    events = [
        SearchPerformed(event_id=f"e{number}", user_id="u", occurred_at=NOW, query="noodles", results=3)
        for number in range(3)
    ]
    put_aside = [record(WaitingEvent(place_id="p", event=event, waiting_since_ms=0)) for event in events]
    assert still_waiting([*put_aside, *put_aside], [record(ResumedEvent(event=events[1]))]) == {"e0", "e2"}


def test_a_report_adds_up_only_without_any_problem() -> None:
    fine = StoreReport(store="search")
    bad = StoreReport(store="graph", problems=["x"])
    assert Report(stores=[fine], letters_expected=0, letters_found=0, problems=[]).adds_up
    assert not Report(stores=[fine, bad], letters_expected=0, letters_found=0, problems=[]).adds_up
    assert not Report(stores=[fine], letters_expected=0, letters_found=0, problems=["x"]).adds_up
