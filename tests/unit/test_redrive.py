"""Dead letters as they are read back."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from schemas.headers import ATTEMPTS, ERROR_OFFSET, ERROR_PARTITION, ERROR_TOPIC, Headers
from schemas.topics import Catalogue
from streams.deadletters import dead_letter
from streams.redrive import Filter, Letter, group, original_headers, read_letters


def stored(headers: Headers, offset: int = 0, timestamp: int = 0, value: bytes | None = b"v") -> StoredRecord:
    return StoredRecord(
        topic="dead-letters", partition=2, offset=offset, timestamp=timestamp, key=b"k", value=value, headers=headers
    )


def letter(
    offset: int, error: Exception, *, stage: str = "decode", store: str | None = None, topic: str = "t"
) -> StoredRecord:
    record = StoredRecord(
        topic=topic, partition=1, offset=40 + offset, timestamp=0, key=b"k", value=b"v", headers=[("h", b"1")]
    )
    component = "ingest" if store is None else f"deliver.{store}"
    made = dead_letter(Catalogue(), record, component=component, stage=stage, error=error, store=store, attempts=2)
    return stored(made.headers, offset, timestamp=100 - offset, value=made.value)


LETTERS = read_letters(
    [
        letter(0, ValueError("no `lat`")),
        letter(1, ValueError("no `Lon`")),
        letter(2, KeyError("x"), stage="write", store="graph", topic="writes.graph"),
    ]
)


def matching(**wanted: Any) -> list[str]:
    return [one.position for one in LETTERS if Filter(**wanted).matches(one)]


def test_a_letter_reads_back_as_it_was_written() -> None:
    (found,) = read_letters([letter(3, ValueError("no `lat`"))])
    assert (found.position, found.topic, found.partition, found.offset) == ("2:3", "t", 1, 43)
    assert (found.component, found.stage, found.store) == ("ingest", "decode", None)
    assert (found.error, found.message, found.attempts) == ("ValueError", "no `lat`", 2)
    assert (found.key, found.value, found.value_left_out) == (b"k", b"v", False)
    assert original_headers(found) == (("h", b"1"),)


def test_letters_come_oldest_first_and_records_that_are_none_are_left_out() -> None:
    assert [one.position for one in LETTERS] == ["2:2", "2:1", "2:0"]
    assert read_letters([stored([("h", b"1")])]) == []


@given(st.sampled_from([ERROR_PARTITION, ERROR_OFFSET, ATTEMPTS]), st.none() | st.binary(max_size=6))
def test_a_letter_of_somebody_else_with_odd_headers_is_a_letter(name: str, value: bytes | None) -> None:
    (found,) = read_letters([stored([(ERROR_TOPIC, b"t"), (name, value)])])
    assert found.topic == "t"


def test_letters_are_grouped_by_kind_the_most_frequent_first_with_the_last_of_each() -> None:
    assert [(one.position, count) for one, count in group(LETTERS)] == [("2:0", 2), ("2:2", 1)]


def test_a_filter_keeps_what_is_equal_in_every_field_that_is_asked_for() -> None:
    everything = [one.position for one in LETTERS]
    assert matching() == everything
    assert matching(component="ingest") == matching(stage="decode") == matching(topic="t") == ["2:1", "2:0"]
    assert matching(store="graph") == matching(error="KeyError") == ["2:2"]
    assert matching(component="ingest", store="graph") == []
    assert matching(component="ing") == []


def test_the_reason_is_looked_through_whatever_its_case() -> None:
    assert matching(text="LON") == ["2:1"]
    assert matching(text="no `l") == ["2:1", "2:0"]


@given(st.frozensets(st.sampled_from(["2:0", "2:1", "2:2", "9:9"])))
def test_positions_choose_single_letters_and_none_means_all(positions: frozenset[str]) -> None:
    found: list[Letter] = [one for one in LETTERS if Filter(positions=positions).matches(one)]
    assert {one.position for one in found} == (positions - {"9:9"} if positions else {"2:0", "2:1", "2:2"})


def test_a_letter_that_was_written_twice_after_a_crash_is_one() -> None:
    first = letter(0, ValueError("no `lat`"))
    again = msgspec.structs.replace(first, offset=9, timestamp=200)
    assert [one.position for one in read_letters([again, first])] == ["2:0"]


def test_letters_of_one_record_from_two_stores_are_two() -> None:
    graph = letter(0, KeyError("x"), stage="write", store="graph", topic="events")
    search = letter(0, KeyError("x"), stage="write", store="search", topic="events")
    assert len(read_letters([graph, msgspec.structs.replace(search, offset=1)])) == 2


def test_letters_of_somebody_else_that_do_not_say_where_they_come_from_are_all_shown() -> None:
    anonymous = stored([(ERROR_TOPIC, b"t")])
    assert len(read_letters([anonymous, msgspec.structs.replace(anonymous, offset=1)])) == 2
