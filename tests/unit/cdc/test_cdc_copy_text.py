from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.copy_text import parse_row

ESCAPES = {b"\\": b"\\\\", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b"\v": b"\\v"}


def printed(values: list[bytes | None]) -> bytes:
    """Write a row as COPY does."""
    fields: list[bytes] = []
    for value in values:
        if value is None:
            fields.append(b"\\N")
        else:
            fields.append(b"".join(ESCAPES.get(value[at : at + 1], value[at : at + 1]) for at in range(len(value))))
    return b"\t".join(fields) + b"\n"


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=20), st.sampled_from([b"\\N", b"N", b"\\", b"\\\\N"])), min_size=1)
)
def test_every_row_survives_the_round_trip(values: list[bytes | None]) -> None:
    assert parse_row(printed(values)) == values


def test_null_and_the_text_that_looks_like_it_are_told_apart() -> None:
    assert parse_row(b"\\N\t\\\\N\t\n") == [None, b"\\N", b""]
