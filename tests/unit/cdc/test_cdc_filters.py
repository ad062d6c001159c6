from hashlib import sha256
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.encoding import Encoding
from connectors.cdc.errors import KeyUnknown, Misconfigured, UnreadableValue
from connectors.cdc.fast_path import shortcuts_of
from connectors.cdc.filters import Filters
from connectors.cdc.pg_types import BUILT_IN
from connectors.cdc.pgoutput import UNCHANGED, Relation, RelationColumn
from connectors.cdc.receipt import Receipt
from connectors.cdc.snapshot_rows import SnapshotRows
from connectors.cdc.tables import Column, Table, chosen_key

TEXT, INT4, UUID, VARCHAR = 25, 23, 2950, 1043
SECRET = "rosa@example.org"


def table(
    filters: Filters, *columns: tuple[str, int], key: tuple[int, ...] = (0,), typmod: int = -1, schemas: bool = False
) -> Table:
    described = [Column(name, oid, typmod, BUILT_IN[oid]) for name, oid in columns]
    encoding = Encoding(schemas=schemas)
    return Table("public", "users", "topic", described, key=key, filters=filters, encoding=encoding)


def shown(filters: Filters, value: str | None, oid: int = TEXT) -> Any:
    made = table(filters, ("id", INT4), ("email", oid))
    return msgspec.json.decode(made.row(made.encode([b"1", None if value is None else value.encode()])))["email"]


@pytest.mark.parametrize(
    ("filters", "captured"),
    [
        (Filters(), {"public.orders", "public.order_lines", "audit.orders"}),
        (Filters(include_schemas=("PUBLIC",)), {"public.orders", "public.order_lines"}),
        (Filters(exclude_schemas=("aud",)), {"public.orders", "public.order_lines", "audit.orders"}),
        (Filters(exclude_schemas=("aud.*",)), {"public.orders", "public.order_lines"}),
        (Filters(exclude_tables=(r"public\.order_.*",)), {"public.orders", "audit.orders"}),
    ],
)
def test_patterns_match_whole_names_without_regard_to_case(filters: Filters, captured: set[str]) -> None:
    names = [("public", "orders"), ("public", "order_lines"), ("audit", "orders"), ("public", "users")]
    found = {f"{schema}.{name}" for schema, name in names if filters.captures(schema, name, [r".*\.ORDER.*"])}
    assert found == captured


def test_a_masked_value_is_asterisks_and_so_is_null() -> None:
    filters = Filters(mask_columns={r"public\.users\.EMAIL": 4})
    assert shown(filters, SECRET) == "****"
    assert shown(filters, None) == "****"
    assert shown(Filters(mask_columns={r".*\.email": 0}, include_columns=(".*",)), SECRET, UUID) == ""


def test_null_is_masked_in_the_short_ways_too() -> None:
    made = table(Filters(mask_columns={r".*\.email": 4}), ("id", INT4), ("email", TEXT))
    receipt = cast(Receipt, None)  # nothing is sent
    source = b'{"lsn":%d,"lsn":%d}'
    message = b"w" + bytes(24) + b"I" + bytes(4) + b"N\0\2" + b"t\0\0\0\x011" + b"n"
    found = shortcuts_of(made, source, receipt, [])[0].make(message, b'"ts_ms":1')
    assert found is not None
    assert msgspec.json.decode(found["value"])["after"]["email"] == "****"
    [record] = SnapshotRows(made, source, 1).of_lines([b"1\t\\N\n"], 1, receipt)
    assert msgspec.json.decode(record["value"])["after"]["email"] == "****"


def test_a_hashed_value_is_debeziums() -> None:
    filters = Filters(hash_columns=("public.users.email",), hash_salt="CzQMA0cB5K")
    digest = sha256(b"CzQMA0cB5K" + SECRET.encode()).hexdigest()
    assert shown(filters, SECRET) == digest
    assert shown(filters, None) is None
    short = table(filters, ("email", VARCHAR), typmod=20 + 4)
    assert short.encode([SECRET.encode()]) == [msgspec.json.encode(digest[:20])]


@pytest.mark.parametrize(
    ("filters", "parameters"),
    [
        (Filters(mask_columns={".*email": 4}), {"masked": "true"}),
        (Filters(hash_columns=(".*email",)), {"masked": "true"}),
        (Filters(truncate_columns={".*email": 4}), {"truncateLength": "4"}),
    ],
)
def test_a_schema_tells_what_is_concealed(filters: Filters, parameters: dict[str, str]) -> None:
    made = table(filters, ("id", INT4), ("email", TEXT), schemas=True)
    _, after, *_ = msgspec.json.decode(made.value_schema or b"")["fields"]
    expected = {"type": "string", "optional": True, "parameters": parameters, "field": "email"}
    assert list(after["fields"][1].items()) == list(expected.items())


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(0, 20))
def test_a_truncated_value_has_so_many_characters(text: str, limit: int) -> None:
    """As Java counts them: one beyond 16 bits is two, and half of one is dropped."""
    expected = ""
    for character in text:
        if len((expected + character).encode("utf-16-le")) > 2 * limit:
            break
        expected += character
    assert shown(Filters(truncate_columns={".*email": limit}), text) == expected


def test_columns_that_are_left_out_are_in_no_row_but_in_the_key() -> None:
    filters = Filters(exclude_columns=(r"public\.users\.(id|email)",))
    made = table(filters, ("id", INT4), ("email", TEXT), ("name", TEXT))
    encoded = made.encode([b"1", SECRET.encode(), b"Rosa"])
    assert (made.row(encoded), made.key_of(encoded)) == (b'{"name":"Rosa"}', b'{"id":1}')
    only = table(Filters(include_columns=(r".*\.name",)), ("id", INT4), ("email", TEXT), ("name", TEXT))
    assert only.row(only.encode([b"1", UNCHANGED, None])) == b'{"name":null}'


def test_a_masked_column_is_masked_in_the_key_too() -> None:
    made = table(Filters(mask_columns={r".*\.email": 3}), ("email", TEXT))
    encoded = made.encode([SECRET.encode()])
    assert (made.key_of(encoded), made.row(encoded)) == (b'{"email":"***"}', b'{"email":"***"}')


def test_a_masked_value_is_in_no_error() -> None:
    made = table(Filters(hash_columns=(r".*\.email",)), ("id", INT4), ("email", TEXT))
    with pytest.raises(UnreadableValue) as refused:
        made.encode([b"no number", SECRET.encode()])
    assert SECRET not in str(refused.value)


def test_only_text_can_be_masked() -> None:
    with pytest.raises(Misconfigured, match=r"column public\.users\.age is written as int32; .*exclude_columns"):
        table(Filters(mask_columns={".*age": 3}), ("id", INT4), ("age", INT4))


def test_a_pattern_that_is_none_names_its_option() -> None:
    with pytest.raises(Misconfigured, match=r"source\.mask_columns: '\(' is no regular expression"):
        Filters(mask_columns={"(": 3}).check()


def test_the_salt_is_in_no_text() -> None:
    assert "pepper" not in repr(Filters(hash_salt="pepper"))


def relation(identity: str, *columns: tuple[str, bool]) -> Relation:
    described = tuple(RelationColumn(name, TEXT, -1, identity=flagged) for name, flagged in columns)
    return Relation(1, "public", "t", identity, described)


def test_the_key_can_be_chosen_when_every_old_row_has_it() -> None:
    full = relation("f", ("a", True), ("b", True))
    assert chosen_key(full, ["b", "a"]) == [1, 0]
    with pytest.raises(KeyUnknown, match="REPLICA IDENTITY FULL"):
        chosen_key(relation("d", ("a", True), ("b", False)), ["b"])
    with pytest.raises(KeyUnknown, match=r"source\.key_columns: public\.t has no column c"):
        chosen_key(full, ["c"])
    assert Filters(key_columns={"public.T": ("b",)}).key_of("public.t") == ("b",)
