import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.hstore import hstore_as_json, hstore_as_map

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def printed(pairs: dict[str, str | None]) -> bytes:
    """Return an hstore as Postgres prints it."""

    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    return ", ".join(
        f"{quoted(key)}=>{'NULL' if value is None else quoted(value)}" for key, value in pairs.items()
    ).encode()


@given(st.dictionaries(TEXTS, st.none() | TEXTS, max_size=5))
def test_every_hstore_comes_back(pairs: dict[str, str | None]) -> None:
    assert msgspec.json.decode(hstore_as_map(printed(pairs))) == pairs
    assert msgspec.json.decode(msgspec.json.decode(hstore_as_json(printed(pairs)))) == pairs


@pytest.mark.parametrize("text", [b"x", b'"a"', b'"a"=>', b'"a"=>"b', b'"a"=>"b" "c"=>"d"', b'"a"=>null'])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no hstore"):
        hstore_as_map(text)
