from typing import Any

import msgspec

from connectors.cdc.envelope import Record
from connectors.cdc.filters import Filters
from connectors.cdc.pg_types import BUILT_IN
from connectors.cdc.schema_changes import schema_change
from connectors.cdc.tables import Column, Table

INT4, INT8, VARCHAR = 23, 20, 1043


def table(*columns: tuple[str, int, int], key: tuple[int, ...] = (0,), filters: Filters | None = None) -> Table:
    described = [Column(name, oid, typmod, BUILT_IN[oid]) for name, oid, typmod in columns]
    return Table("public", "t", "topic", described, key=key, filters=filters or Filters())


def changed(before: Table | None, after: Table) -> Record | None:
    return schema_change("travel", before, after, b'{"lsn":5}', 7_000_000)


def value_of(record: Record | None) -> Any:
    assert record is not None
    return msgspec.json.decode(record.value or b"")


def described(name: str, oid: int, kind: str, position: int, *, modifier: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "nativeType": oid,
        "typeName": kind,
        "typeModifier": modifier,
        "position": position,
        "defaultValueExpression": None,
    }


def test_a_table_that_looks_as_before_makes_no_event() -> None:
    assert changed(table(("id", INT4, -1)), table(("id", INT4, -1))) is None


def test_the_event_tells_the_columns_before_and_after() -> None:
    before, after = table(("id", INT4, -1)), table(("id", INT8, -1), ("name", VARCHAR, 24))
    record = changed(before, after)
    assert record is not None
    assert record.key == b'{"databaseName":"travel"}'
    assert value_of(record) == {
        "source": {"lsn": 5},
        "ts_ms": 7,
        "databaseName": "travel",
        "schemaName": "public",
        "ddl": None,
        "tableChanges": [
            {
                "type": "ALTER",
                "id": '"travel"."public"."t"',
                "table": {
                    "primaryKeyColumnNames": ["id"],
                    "columns": [
                        described("id", INT8, "int8", 1),
                        described("name", VARCHAR, "varchar", 2, modifier=24),
                    ],
                },
                "previous": {
                    "primaryKeyColumnNames": ["id"],
                    "columns": [described("id", INT4, "int4", 1)],
                },
            }
        ],
    }


def test_a_change_of_the_key_alone_is_one() -> None:
    columns = ("id", INT4, -1), ("b", INT4, -1)
    assert changed(table(*columns), table(*columns, key=(1,))) is not None


def test_the_first_description_of_a_table_is_a_create() -> None:
    [change] = value_of(changed(None, table(("id", INT4, -1))))["tableChanges"]
    assert (change["type"], change["previous"]) == ("CREATE", None)


def test_columns_that_are_left_out_are_not_told() -> None:
    hidden = Filters(exclude_columns=(".*secret",))
    described = value_of(changed(None, table(("id", INT4, -1), ("secret", INT4, -1), filters=hidden)))
    assert "secret" not in str(described)
