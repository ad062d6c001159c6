"""A version line says of each column the version that set it, in few bytes where that is the same for all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.postgres.lines import decode_versions, encode_versions
from connectors.sinks.postgres.tables import TABLES

# As released. Version lines in databases name columns by these places: more may follow, none may move or go.
RELEASED = {
    "messages": "user_id conversation_id role text intent trip_id sent_at",
    "trips": "user_id title destinations starts_on ends_on place_ids status planned_at started_at ended_at",
    "bookings": "user_id place_id place_name trip_id starts_at ends_at guests amount currency status reason"
    " cancelled_at",
    "urgent_requests": "user_id category text lat lon requested_at",
    "traveller_details": "user_id email email_index phone phone_index passport card home given_at",
    "erasure_requests": "user_id reason status requested_at",
}

_tables = st.sampled_from(sorted(TABLES))
_lines = _tables.flatmap(
    lambda table: st.tuples(
        st.just(table), st.integers(0, 9), st.dictionaries(st.sampled_from(list(TABLES[table])), st.integers(0, 9))
    )
)


@given(_lines)
def test_what_is_said_of_columns_is_read_again(line: tuple[str, int, dict[str, int]]) -> None:
    table, version, columns = line
    assert decode_versions(table, version, encode_versions(table, version, columns)) == columns


@given(_tables.flatmap(lambda table: st.tuples(st.just(table), st.permutations(list(TABLES[table])))), st.data())
def test_columns_that_were_set_together_are_a_short_number_in_whatever_order_they_were_named(
    named: tuple[str, list[str]], data: st.DataObject
) -> None:
    table, columns = named
    some = columns[: data.draw(st.integers(0, len(columns)))]
    said = encode_versions(table, 10**15, dict.fromkeys(some, 10**15))
    assert said == encode_versions(table, 5, dict.fromkeys(sorted(some), 5))
    assert said.isdecimal()
    assert len(said) <= 4


def test_columns_of_several_versions_are_an_object() -> None:
    said = encode_versions("trips", 7, {"title": 5, "status": 7})
    assert json.loads(said) == {"title": 5, "status": 7}
    assert decode_versions("trips", 7, said) == {"title": 5, "status": 7}


def test_what_earlier_releases_have_said_is_read() -> None:
    assert decode_versions("trips", 5, '{"title":5,"status":5}') == {"title": 5, "status": 5}


@pytest.mark.parametrize("table", RELEASED)
def test_no_column_that_was_released_has_moved(table: str) -> None:
    released = RELEASED[table].split()
    assert list(TABLES[table])[: len(released)] == released
