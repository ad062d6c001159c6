from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.arrays import Element, parse_array


def printed(elements: list[Element]) -> bytes:
    """Write an array as Postgres does."""
    return b"{%b}" % b",".join(map(printed_element, elements))


def printed_element(element: Element) -> bytes:
    if element is None:
        return b"NULL"
    if isinstance(element, list):
        return printed(element)
    special = element == b"" or element.upper() == b"NULL" or any(byte in b'{},"\\ \t\n\r\v\f' for byte in element)
    if not special:
        return element
    return b'"%b"' % element.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


leaves = st.one_of(st.none(), st.binary(max_size=10), st.sampled_from([b"NULL", b"null", b"a,b", b'"', b"\\", b"{}"]))
flat = st.lists(leaves, max_size=6)
nested = st.lists(st.lists(leaves, min_size=1, max_size=4), min_size=1, max_size=4)
arrays = cast("st.SearchStrategy[list[Element]]", flat | nested)


@given(arrays)
def test_every_array_survives_the_round_trip(elements: list[Element]) -> None:
    assert parse_array(printed(elements)) == elements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{}", []),
        (b"{1,NULL,3}", [b"1", None, b"3"]),
        (b'{a,"b,c",NULL,"null","q\\"\\\\x",""}', [b"a", b"b,c", None, b"null", b'q"\\x', b""]),
        (b"{{1,2},{3,4}}", [[b"1", b"2"], [b"3", b"4"]]),
        (b"[0:1]={1,2}", [b"1", b"2"]),
        (b"[1:1][-1:0]={{1,2}}", [[b"1", b"2"]]),
    ],
)
def test_an_array_is_read_as_postgres_prints_it(text: bytes, expected: list[Element]) -> None:
    assert parse_array(text) == expected


@pytest.mark.parametrize("text", [b"", b"1", b"{", b"}", b"{1", b'{"a}', b"{{1}", b"{{1}}}", b"[0:1]{1}", b'{"a\\"}'])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_array(text)


@given(st.binary(max_size=60))
def test_whatever_the_text_is_it_is_an_array_or_refused(text: bytes) -> None:
    with suppress(ValueError):
        parse_array(b"{" + text + b"}")
