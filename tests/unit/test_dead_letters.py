"""A dead letter is the record as it was, with the reason; whatever the brokers take, none is lost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from schemas import headers
from schemas.headers import VALUE_LEFT_OUT, header_map, without_error_headers
from schemas.topics import Catalogue
from streams.deadletters import dead_letter, publish_with_letters
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed, Unpublishable

CATALOGUE = Catalogue()
SECRET = "hunter" * 2  # in no line of the source, which a trace does show
LETTERS = CATALOGUE.dead_letters.name
NAMES = st.text(max_size=8).filter(lambda name: not name.startswith(("__connect.errors.", "__travelos.errors.")))


def record(
    key: bytes | None = b"k", value: bytes | None = b"v", given: headers.Headers = (), offset: int = 7
) -> StoredRecord:
    return StoredRecord(
        topic="user-events", partition=3, offset=offset, timestamp=1, key=key, value=value, headers=given
    )


class Brokers:
    """Take records up to a size; what they took is in `taken`."""

    def __init__(self, limit: int = 1_000, away: bool = False) -> None:
        self.limit = limit
        self.away = away
        self.taken: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.away:
            raise PublishFailed("away")
        if any(len(one.value or b"") > self.limit for one in records):
            raise Unpublishable("too large")
        self.taken += records
        return {}


async def publish(brokers: Brokers, records: Sequence[Outgoing]) -> None:
    await publish_with_letters(cast(Publisher, brokers), CATALOGUE, records)


def letter(value: bytes, offset: int = 7) -> Outgoing:
    return dead_letter(CATALOGUE, record(value=value, offset=offset), component="c", stage="s", error=ValueError("bad"))


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=10)), max_size=4),
    st.text(max_size=3_000),
)
def test_key_bytes_and_headers_are_untouched_whatever_they_are(
    key: bytes | None, value: bytes | None, given: list[tuple[str, bytes | None]], message: str
) -> None:
    made = dead_letter(CATALOGUE, record(key, value, given), component="c", stage="s", error=ValueError(message))
    assert (made.topic, made.key, made.value) == (LETTERS, key, value)
    assert list(made.headers)[: len(given)] == given
    assert list(without_error_headers(made.headers)) == given


def test_the_headers_say_what_went_wrong_where_and_since_when() -> None:
    since = datetime(2026, 5, 1, tzinfo=UTC)
    made = dead_letter(
        CATALOGUE,
        record(),
        component="deliver.graph",
        stage="write",
        error=KeyError("x"),
        attempts=3,
        first_failed_at=since,
        schema="GraphWrite",
        store="graph",
    )
    said = header_map(made.headers)
    assert said[headers.ERROR_TOPIC] == "user-events"
    assert (said[headers.ERROR_PARTITION], said[headers.ERROR_OFFSET]) == ("3", "7")
    assert (said[headers.ERROR_CONNECTOR], said[headers.ERROR_STAGE]) == ("deliver.graph", "write")
    assert (said[headers.ERROR_CLASS], said[headers.ERROR_MESSAGE]) == ("KeyError", "'x'")
    assert (said[headers.ATTEMPTS], said[headers.FIRST_FAILED_AT]) == ("3", since.isoformat())
    assert (said[headers.SCHEMA], said[headers.STORE]) == ("GraphWrite", "graph")
    assert headers.ERROR_STACKTRACE not in said


def test_a_long_reason_keeps_its_end_where_the_field_is_named() -> None:
    error = ValueError(f"Invalid enum value {'x' * 100_000} - at `$.role`")
    said = header_map(dead_letter(CATALOGUE, record(), component="c", stage="s", error=error).headers)
    assert said[headers.ERROR_MESSAGE].endswith("- at `$.role`")
    assert len(said[headers.ERROR_MESSAGE]) <= 1_000


def test_an_error_that_nobody_foresaw_brings_its_stack_trace_but_no_values_of_variables() -> None:
    def work(password: str) -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError) as caught:
        work(SECRET)
    made = dead_letter(CATALOGUE, record(), component="c", stage="s", error=caught.value, foreseen=False)
    trace = header_map(made.headers)[headers.ERROR_STACKTRACE]
    assert "in work" in trace
    assert SECRET not in trace
    assert trace.endswith("ZeroDivisionError: division by zero\n")
    assert len(trace) <= 8_000


def test_a_letter_that_fails_again_says_the_latest_reason_once() -> None:
    first = letter(b"v")
    again = dead_letter(CATALOGUE, record(given=first.headers), component="c", stage="s", error=ValueError("still bad"))
    reasons = [value for name, value in again.headers if name == headers.ERROR_MESSAGE]
    assert reasons == [b"still bad"]


async def test_only_the_letter_that_is_too_large_goes_without_its_value_and_says_how_large_it_was() -> None:
    brokers = Brokers()
    other, small, large = Outgoing("writes", b"k", b"w"), letter(b"small", 1), letter(b"x" * 5_000, 2)
    await publish(brokers, [other, small, large])
    assert brokers.taken[:2] == [other, small]
    (left_out,) = brokers.taken[2:]
    assert left_out.value is None
    said = header_map(left_out.headers)
    assert said[VALUE_LEFT_OUT] == "5000"
    assert (said[headers.ERROR_TOPIC], said[headers.ERROR_OFFSET]) == ("user-events", "2")


async def test_another_record_that_is_too_large_is_not_taken_for_a_letter() -> None:
    for records in ([Outgoing("writes", b"k", b"x" * 5_000)], [Outgoing("writes", b"k", b"x" * 5_000), letter(b"v")]):
        with pytest.raises(Unpublishable):
            await publish(Brokers(), records)


async def test_while_the_brokers_are_away_nothing_is_left_out() -> None:
    brokers = Brokers(away=True)
    with pytest.raises(PublishFailed):
        await publish(brokers, [letter(b"v")])
    assert brokers.taken == []


async def test_records_without_letters_go_out_as_they_are() -> None:
    brokers = Brokers()
    await publish(brokers, [Outgoing("writes", b"k", b"v")])
    assert brokers.taken == [Outgoing("writes", b"k", b"v")]
