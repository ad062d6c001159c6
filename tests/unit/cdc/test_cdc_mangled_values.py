"""Values that are damaged on their way: JSON or an error that names the column, never a row that nobody can read."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.cdc.encoding import Encoding
from connectors.cdc.errors import UnreadableValue
from connectors.cdc.tables import Column, Table
from connectors.cdc.type_examples import OPTIONS, Example, type_of
from connectors.cdc.types_document import EXAMPLES

ENCODINGS = [Encoding(), *OPTIONS.values()]
# What types print, and what Python's own functions take for a number although Postgres prints no such thing.
LETTERS = b'0123456789 _+-.,:;eEnaifyxT{}[]()"\\/=>\t\n\x00\xff'


def table_of(example: Example, encoding: Encoding) -> Table:
    kind, typmod = type_of(example.type)
    return Table("public", "t", "topic", [Column("c", 0, typmod, kind)], key=[], encoding=encoding)


@st.composite
def mangled(draw: st.DrawFn) -> tuple[Example, Encoding, bytes]:
    example = draw(st.sampled_from(EXAMPLES))
    text = bytearray(example.printed.encode())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(["insert", "replace", "cut", "remove"]))
        letter = draw(st.sampled_from(LETTERS))
        if kind == "insert":
            text.insert(place, letter)
        elif kind == "cut":
            del text[place:]
        elif place < len(text):
            text[place : place + 1] = bytes([letter]) if kind == "replace" else b""
    return example, draw(st.sampled_from(ENCODINGS)), bytes(text)


@given(mangled())
@settings(max_examples=30 * settings().max_examples)
def test_a_damaged_value_is_json_or_an_error_that_names_its_column(damaged: tuple[Example, Encoding, bytes]) -> None:
    example, encoding, text = damaged
    table = table_of(example, encoding)
    try:
        row = table.row(table.encode([text]))
    except UnreadableValue as error:
        assert "public.t.c" in str(error)  # noqa: PT017 - both ends are right
        return
    msgspec.json.decode(row)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        *(("float8", text) for text in (b"1_0", b" 1", b"inf", b"nan", b"+1", b".5", b"1.", b"0x1", b"1e+400", b"")),
        *(("numeric", text) for text in (b"1_0", b"1 ", b"1e5", b'1"', b"", b"-", b"inf")),
        *(("int4", text) for text in (b"", b"-", b"1_0", b"+1", b"--1", b"0x1")),
        *(("uuid", text) for text in (b'a"b', b"", b"cc944665-fe05-4b90-85f9-7fa8fc2b5c6", b"\xff" * 36)),
        *(("bool", text) for text in (b"true", b"")),
        *(("date", text) for text in (b"2024-13-01", b"2024-01", b"")),
        *(("int4[]", text) for text in (b"{1", b"{1}}", b"1}", b"{{1}", b"")),
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_a_type_does_not_print_is_refused(declared: str, text: bytes, encoding: Encoding) -> None:
    table = table_of(Example(declared, "", "", ""), encoding)
    with pytest.raises(UnreadableValue, match=r"public\.t\.c of type"):
        table.encode([text])
