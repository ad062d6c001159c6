"""The values of a column at once must give what they give one after the other."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.columns import encoded_column
from connectors.cdc.decimals import decimal_as_text
from connectors.cdc.scalars import Encode, boolean_json, integer_json, text_json
from connectors.cdc.times import instant_json

integers = st.integers().map(lambda number: b"%d" % number)
decimals = st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}".encode())
instants = st.datetimes().map(lambda at: at.isoformat(" ").encode() + b"+00")
whole_instants = st.datetimes().map(lambda at: at.replace(microsecond=0).isoformat(" ").encode() + b"+00")
texts = st.text().map(str.encode)
odd = st.sampled_from([b"", b"-", b"007", b"1,2", b"1.", b"1e5", b"NaN", b"infinity", b"t", rb"\u0000", b"\xff", b'"'])
odd_instants = st.sampled_from(
    [b"2026-01-01 00:00:00+01", b"12026-01-01 00:00:00+00", b"2026-01-01,00:00:00+00", b"0044-03-15 00:00:00+00 BC"]
)
CASES = [
    (text_json, texts),
    (text_json, st.binary()),
    (integer_json, integers),
    (decimal_as_text, decimals),
    (instant_json, instants),
    (instant_json, whole_instants),
    (instant_json, whole_instants | odd_instants),
    (boolean_json, st.sampled_from([b"t", b"f"])),
]


def one_by_one(encode: Encode, values: Sequence[bytes]) -> list[bytes] | None:
    try:
        return [encode(value) for value in values]
    except (ValueError, KeyError):
        return None


def at_once(encode: Encode, values: Sequence[bytes]) -> list[bytes] | None:
    try:
        return list(encoded_column(encode, b"null", values))
    except (ValueError, KeyError):
        return None


@pytest.mark.parametrize(("encode", "usual"), CASES)
def test_a_column_of_usual_values_is_the_same_at_once(encode: Encode, usual: st.SearchStrategy[bytes]) -> None:
    @given(st.lists(usual))
    def check(values: list[bytes]) -> None:
        assert at_once(encode, values) == one_by_one(encode, values)

    check()


@pytest.mark.parametrize(("encode", "usual"), CASES)
def test_a_column_with_odd_values_is_the_same_at_once_or_refused_by_both(
    encode: Encode, usual: st.SearchStrategy[bytes]
) -> None:
    @given(st.lists(usual | odd))
    def check(values: list[bytes]) -> None:
        assert at_once(encode, values) == one_by_one(encode, values)

    check()


def test_nulls_have_what_stands_for_them() -> None:
    assert list(encoded_column(integer_json, b"0", [b"1", None, b"2"])) == [b"1", b"0", b"2"]
