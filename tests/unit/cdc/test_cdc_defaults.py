from typing import Any

import msgspec
import pytest

from connectors.cdc.defaults import Default, is_constant
from connectors.cdc.encoding import Encoding
from connectors.cdc.filters import Filters
from connectors.cdc.pg_types import BUILT_IN
from connectors.cdc.pgoutput import Relation, RelationColumn
from connectors.cdc.schema_changes import schema_change
from connectors.cdc.tables import Column, Indexes, Table, table_of
from connectors.cdc.types import BOOL, INT4, NUMERIC, TEXT

WITH_SCHEMAS = Encoding(schemas=True, decimals="precise")
TWELVE_TWO = (12 << 16 | 2) + 4


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("7", "integer"),
        ("'-5'::integer", "bigint"),
        ("1.5", "numeric"),
        ("(5)::numeric", "numeric"),
        ("true", "boolean"),
        ("'it''s \\ (x)::text'::text", "text"),
        ("'a'::character varying", "text"),
        ("'{\"a\": 1}'::jsonb", "jsonb"),
        ("'2026-01-02'::date", "date"),
        ("B'101'::\"bit\"", '"bit"'),
        ("'deep blue'::shop.colour", "shop.colour"),
        ("'7'::bigint", "text"),
        ("'a\nb'::text", "text"),
    ],
)
def test_a_literal_is_a_constant(expression: str, kind: str) -> None:
    assert is_constant(expression, kind)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("now()", "timestamp with time zone"),
        ("CURRENT_DATE", "date"),
        ("nextval('numbers'::regclass)", "integer"),
        ("(3 + 4)", "integer"),
        ("('now'::text)::date", "date"),
        ("'2026-01-02 00:00:00'::timestamp without time zone", "timestamp with time zone"),
        ("'a'::text || 'b'::text", "text"),
        ("lower('A'::text)", "text"),
        ("'x'::shop.checked", "text"),
        ("'x'::shop.colour", "shop.other"),
        ("NULL::text", "text"),
        ("'a'::text, pg_sleep(1)", "text"),
        ("7", "boolean"),
    ],
)
def test_what_is_decided_at_an_insert_or_by_code_of_users_is_no_constant(expression: str, kind: str) -> None:
    assert not is_constant(expression, kind)


def column(name: str, oid: int, expression: str, text: bytes | None, typmod: int = -1) -> Column:
    return Column(name, oid, typmod, BUILT_IN[oid], default=Default(oid, typmod, expression, text))


def table(*columns: Column, encoding: Encoding = WITH_SCHEMAS, filters: Filters | None = None) -> Table:
    described = [Column("id", INT4, -1, not_null=True), *columns]
    return Table("public", "t", "topic", described, key=[0], encoding=encoding, filters=filters or Filters())


def fields(described: Table) -> dict[str, Any]:
    schema = msgspec.json.decode(described.value_schema or b"")
    before, after = ({one["field"]: one for one in schema["fields"][place]["fields"]} for place in (0, 1))
    assert before == after
    return after


def test_a_constant_is_in_the_schema_in_the_form_of_its_values() -> None:
    found = table(
        column("n", NUMERIC, "5", b"5.00", TWELVE_TWO), column("ok", BOOL, "true", b"t"), column("a", TEXT, "f()", None)
    )
    assert fields(found)["n"]["default"] == "AfQ="
    assert list(fields(found)["n"])[-2:] == ["default", "field"]
    assert fields(found)["ok"]["default"] is True
    assert "default" not in fields(found)["a"]


def test_what_a_schema_cannot_hold_is_left_out() -> None:
    """Numbers of any scale are objects there, and NaN is null."""
    found = fields(table(column("any", NUMERIC, "5", b"5"), column("nan", NUMERIC, "x", b"NaN", TWELVE_TWO)))
    assert [name for name, field in found.items() if "default" in field] == []


def test_the_default_of_a_concealed_column_is_shown_nowhere() -> None:
    for concealing in (
        Filters(mask_columns={".*a": 3}),
        Filters(hash_columns=(".*a",), hash_salt="s"),
        Filters(truncate_columns={".*a": 1}),
    ):
        found = table(column("a", TEXT, "'secret'::text", b"secret"), filters=concealing)
        told = schema_change("db", None, found, b"{}", 0)
        assert told is not None
        assert b"secret" not in (found.value_schema or b"") + (told.value or b"")


def test_null_stays_null_unless_the_default_is_asked_for() -> None:
    columns = column("a", TEXT, "'x'::text", b"x"), column("b", TEXT, "f()", None)
    assert table(*columns).encode([b"1", None, None]) == [b"1", b"null", b"null"]
    asked = Encoding(nulls="default")
    assert table(*columns, encoding=asked).encode([b"1", None, None]) == [b"1", b'"x"', b"null"]
    masked = table(*columns, encoding=asked, filters=Filters(mask_columns={".*a": 2}))
    assert masked.encode([b"1", None, None]) == [b"1", b'"**"', b"null"]


def test_a_default_of_today_is_not_that_of_a_column_of_another_type() -> None:
    indexes = Indexes(columns=("id", "a"), primary_key=("id",), defaults={"a": Default(TEXT, -1, "'x'::text", b"x")})
    described = (RelationColumn("id", INT4, -1, True), RelationColumn("a", INT4, -1, False))
    before = table_of(Relation(7, "public", "t", "d", described), indexes, "topic", encoding=WITH_SCHEMAS)
    assert "default" not in fields(before)["a"]


def test_a_changed_default_is_a_change_of_the_schema() -> None:
    before, after = table(column("a", TEXT, "'x'::text", b"x")), table(column("a", TEXT, "'y'::text", b"y"))
    told = schema_change("db", before, after, b"{}", 0)
    assert told is not None
    [change] = msgspec.json.decode(told.value or b"")["tableChanges"]
    assert change["table"]["columns"][1]["defaultValueExpression"] == "'y'::text"
