from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schemas import headers
from schemas.headers import Headers, cloudevents_headers, dead_letter_headers, header_map
from schemas.reasons import shortened


def failed(original: Headers = (), message: str = "no") -> Headers:
    return dead_letter_headers(
        original,
        topic="gps-events",
        partition=3,
        offset=7,
        component="ingest",
        stage="decode",
        error="InvalidEvent",
        message=message,
    )


def test_cloudevents_attributes_are_those_of_the_binary_mode() -> None:
    moment = datetime(2026, 3, 1, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    found = header_map(cloudevents_headers(event_id="e", event_type="gps_update", source="app", occurred_at=moment))
    assert found == {
        "ce_specversion": "1.0",
        "ce_id": "e",
        "ce_type": "gps_update",
        "ce_source": "app",
        "ce_time": "2026-03-01T12:00:00Z",
        "content-type": "application/json",
    }


def test_original_headers_come_first_and_stay_as_they_were() -> None:
    original = (("traceparent", b"00-1"), ("raw", b"\xff\x00"), ("empty", None), ("raw", b"again"))
    assert failed(original)[:4] == original


def test_a_dead_letter_names_where_it_lay_and_why() -> None:
    found = header_map(failed(message="Expected `float` <= 90.0 - at `$.lat`"))
    assert found[headers.ERROR_TOPIC] == "gps-events"
    assert found[headers.ERROR_PARTITION] == "3"
    assert found[headers.ERROR_OFFSET] == "7"
    assert found[headers.ERROR_MESSAGE] == "Expected `float` <= 90.0 - at `$.lat`"
    assert datetime.fromisoformat(found[headers.FIRST_FAILED_AT]).tzinfo is not None
    assert headers.STORE not in found


def test_headers_of_an_earlier_failure_are_replaced() -> None:
    again = failed(failed((("own", b"1"),), message="first"), message="second")
    assert [value for name, value in again if name == headers.ERROR_MESSAGE] == [b"second"]
    assert again[0] == ("own", b"1")


def test_the_first_failure_is_kept_when_it_is_known() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    found = dead_letter_headers(
        (), topic="t", partition=0, offset=0, component="c", stage="s", error="E", message="m", first_failed_at=moment
    )
    assert header_map(found)[headers.FIRST_FAILED_AT] == moment.isoformat()


def test_text_that_is_no_unicode_is_no_second_failure() -> None:
    assert header_map(failed(message="bad \ud800"))[headers.ERROR_MESSAGE] == "bad \\ud800"


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    text = header_map(failed(message="a" * 5_000_000 + "at `$.type`"))[headers.ERROR_MESSAGE]
    assert len(text) <= 1_000
    assert text.startswith("aaa")
    assert text.endswith("at `$.type`")


@given(st.text(max_size=60), st.integers(7, 50))
def test_a_shortened_reason_is_never_longer_than_its_limit(reason: str, limit: int) -> None:
    text = shortened(reason, limit)
    assert len(text) <= limit
    assert text == reason or len(reason) > limit


def test_of_repeated_headers_the_last_one_counts() -> None:
    assert header_map([("a", b"1"), ("a", b"2"), ("b", None), ("c", b"\xff")]) == {"a": "2", "b": "", "c": "�"}
    assert header_map(None) == {}
