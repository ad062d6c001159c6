"""Events that tell how a table looks from here on. Pure.

Postgres streams no DDL. It describes a table before the first change of it, and again when it was altered; an event
follows from that. Its form is that of Debezium's schema change topic (`source`, `ts_ms`, `databaseName`, `schemaName`,
`tableChanges`) with what the table was before as `previous`.
"""

from typing import Any

import msgspec

from connectors.cdc.envelope import Record
from connectors.cdc.tables import Table


def schema_change(db: str, before: Table | None, after: Table, source: bytes, now_ns: int) -> Record | None:
    """Return the record that tells how a table looks from here on; None when it looks as before.

    Columns that are left out of the rows are left out here.

    Args:
        db: the database.
        before: the same table at its last change; None when there was none since the stream began.
        after: the table.
        source: the block `source` of the transaction.
        now_ns: when we processed it, in nanoseconds since 1970.
    """
    described = _described(after)
    previous = None if before is None else _described(before)
    if described == previous:
        return None
    change = {
        "type": "CREATE" if before is None else "ALTER",
        "id": f'"{db}"."{after.schema}"."{after.name}"',
        "table": described,
        "previous": previous,
    }
    value = {
        "source": msgspec.Raw(source),
        "ts_ms": now_ns // 1_000_000,
        "databaseName": db,
        "schemaName": after.schema,
        "ddl": None,
        "tableChanges": [change],
    }
    return Record(msgspec.json.encode({"databaseName": db}), msgspec.json.encode(value))


def _described(table: Table) -> dict[str, Any]:
    columns = zip(table.columns, table.default_expressions, table.shown, strict=True)
    shown = [(column, default) for column, default, shows in columns if shows]
    return {
        "primaryKeyColumnNames": [table.columns[place].name for place in table.key],
        "columns": [
            {
                "name": column.name,
                "nativeType": column.type_oid,
                "typeName": column.type.name,
                "typeModifier": None if column.typmod < 0 else column.typmod,
                "position": position,
                "defaultValueExpression": default,
            }
            for position, (column, default) in enumerate(shown, start=1)
        ],
    }
