import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.lsn import format_lsn, parse_lsn


def test_a_position_is_read_and_written_as_postgres_writes_it() -> None:
    assert parse_lsn("16/B374D848") == 0x16_B374D848
    assert format_lsn(0x16_B374D848) == "16/B374D848"
    assert format_lsn(0) == "0/0"


@given(st.integers(0, 2**64 - 1))
def test_every_position_survives_the_round_trip(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "0", "/", "0/", "/0", "G/0", "123456789/0", "0/123456789", "0/0/0"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"LSN|invalid literal"):
        parse_lsn(text)
