"""The examples' values were compared with those of Debezium 3.4.3; so were the placeholders."""

import base64
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc import times, types
from connectors.cdc.encoding import Encoding, UnknownTypes
from connectors.cdc.pg_types import BUILT_IN, PgType, without_domain
from connectors.cdc.type_examples import OPTIONS, Example, type_of
from connectors.cdc.types import UNAVAILABLE, Codec, codec_of
from connectors.cdc.types_document import EXAMPLES
from schemas.changes import is_unavailable


def codec(declared: str, encoding: Encoding | None = None) -> Codec:
    kind, typmod = type_of(declared)
    found = codec_of(kind, typmod, encoding or Encoding())
    assert found is not None
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.type}: {example.literal}")
def test_every_example_is_written_as_the_page_of_types_shows_it(example: Example) -> None:
    assert codec(example.type).encode(example.printed.encode()) == example.json.encode()
    msgspec.json.decode(example.json)
    for option, encoding in OPTIONS.items():
        found = codec_of(*type_of(example.type), encoding)
        expected = example.otherwise.get(option, example.json)
        assert (found and found.encode(example.printed.encode()).decode()) == expected


@given(st.sampled_from(sorted(BUILT_IN)), st.sampled_from(list(OPTIONS.values())), st.binary(max_size=40))
def test_whatever_the_text_is_it_becomes_json_or_a_value_error(oid: int, encoding: Encoding, text: bytes) -> None:
    found = codec_of(BUILT_IN[oid], -1, encoding)
    assert found is not None
    try:
        written = found.encode(text)
    except (ValueError, KeyError):
        return
    msgspec.json.decode(written)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_text_arrives_as_it_is(text: str) -> None:
    assert msgspec.json.decode(codec("text").encode(text.encode())) == text


def test_bytes_that_are_no_text_arrive_as_replacement_characters() -> None:
    assert codec("text").encode(b"caf\xe9").decode() == '"caf\ufffd"'


@given(st.datetimes(min_value=datetime(1000, 1, 1)), st.integers(0, 6))  # noqa: DTZ001 - Postgres's has its own zone
def test_the_usual_timestamps_are_written_like_all_others(moment: datetime, digits: int) -> None:
    printed = moment.isoformat(" ", timespec="microseconds")[: 19 + (digits and digits + 1)].encode() + b"+00"
    assert codec("timestamptz").encode(printed) == b'"%b"' % times.instant(printed, 6)


@pytest.mark.parametrize(("mode", "expected"), [("text", b'"(1,2)"'), ("bytes", b'"KDEsMik="')])
def test_a_composite_type_that_is_named_like_another_is_not_taken_for_it(mode: UnknownTypes, expected: bytes) -> None:
    found = codec_of(PgType("point", builtin_form=False), -1, Encoding(unknown_types=mode))
    assert found is not None
    assert found.encode(b"(1,2)") == expected


def test_arrays_of_what_is_left_out_are_left_out() -> None:
    assert codec_of(*type_of("pair[]"), Encoding(unknown_types="omit")) is None


def test_a_domain_of_a_domain_is_the_type_at_the_bottom_with_its_modifier() -> None:
    kind, typmod = without_domain(*type_of("cheap_price"))
    assert (kind.name, typmod) == ("numeric", type_of("numeric(8,3)")[1])


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("text", UNAVAILABLE),
        ("jsonb", UNAVAILABLE),
        ("numeric", UNAVAILABLE),
        ("bytea", base64.b64encode(UNAVAILABLE.encode()).decode()),
        ("hstore", f'{{"{UNAVAILABLE}":"{UNAVAILABLE}"}}'),
        ("text[]", [UNAVAILABLE]),
        ("int4[]", list(UNAVAILABLE.encode())),
        ("date[]", list(UNAVAILABLE.encode())),
        ("bytea[]", [base64.b64encode(UNAVAILABLE.encode()).decode()]),
        ("uuid[]", ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
        ("float8[]", [UNAVAILABLE]),  # Debezium: null
        ("varbit", base64.b64encode(UNAVAILABLE.encode()).decode()),  # Debezium: null
    ],
)
def test_a_value_that_is_not_in_the_stream_has_the_placeholder_of_its_type(declared: str, expected: object) -> None:
    assert msgspec.json.decode(codec(declared).placeholder) == expected


@pytest.mark.parametrize("declared", sorted({example.type for example in EXAMPLES}))
def test_every_placeholder_is_known_to_readers(declared: str) -> None:
    kind, typmod = type_of(declared)
    for encoding in (Encoding(), *OPTIONS.values()):
        found = codec_of(kind, typmod, encoding)
        assert found is None or is_unavailable(msgspec.json.decode(found.placeholder))


def test_where_schemas_want_bytes_the_placeholder_is_bytes() -> None:
    placeholder = codec("numeric(10,2)", Encoding(decimals="precise")).placeholder
    assert base64.b64decode(msgspec.json.decode(placeholder)) == types.UNAVAILABLE.encode()
