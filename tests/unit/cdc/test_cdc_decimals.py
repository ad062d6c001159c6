import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.decimals import decimal_as_double, decimal_of_scale, precision_of, scale_of


def unscaled(value: bytes, scale: int) -> int:
    encoded = decimal_of_scale(scale)(value)
    return int.from_bytes(base64.b64decode(encoded.strip(b'"')), signed=True)


@given(st.integers(-(10**40), 10**40), st.integers(0, 30))
def test_a_decimal_of_fixed_scale_comes_back_from_its_bytes(number: int, scale: int) -> None:
    digits = str(abs(number)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    assert unscaled(f"{'-' if number < 0 else ''}{text}".encode(), scale) == number


@pytest.mark.parametrize(("number", "size"), [(127, 1), (128, 2), (-128, 1), (-129, 2), (0, 1)])
def test_a_decimal_takes_as_few_bytes_as_java_gives_it(number: int, size: int) -> None:
    assert len(base64.b64decode(decimal_of_scale(0)(b"%d" % number).strip(b'"'))) == size


@pytest.mark.parametrize(("text", "expected"), [(b"12300", 123), (b"-12300", -123), (b"0", 0)])
def test_with_a_negative_scale_the_zeros_at_the_end_are_not_in_the_bytes(text: bytes, expected: int) -> None:
    assert unscaled(text, -2) == expected


def test_a_decimal_may_have_all_the_digits_that_postgres_allows() -> None:
    assert unscaled(b"9" * 131_072, 0) == 10**131_072 - 1


def test_what_is_too_large_for_a_double_is_infinite() -> None:
    assert decimal_as_double(b"9" * 400) == b'"Infinity"'
    assert decimal_as_double(b"-" + b"9" * 400) == b'"-Infinity"'


@pytest.mark.parametrize(("precision", "scale"), [(10, 2), (5, -2), (1000, 1000), (1000, -1000), (38, 0)])
def test_precision_and_scale_are_read_from_the_modifier(precision: int, scale: int) -> None:
    typmod = (precision << 16 | scale & 0x7FF) + 4
    assert (precision_of(typmod), scale_of(typmod)) == (precision, scale)
