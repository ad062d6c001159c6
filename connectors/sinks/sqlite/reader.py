# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Reading an embedded store's SQLite file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import apsw

from connectors.sinks.reader import QueryRefused, Reader, Row
from connectors.sinks.sqlite.database import Schema, connect_reader
from connectors.sinks.sqlite.errors import interpreted


class SQLiteReader(Reader):
    """A file opened read-only. Every query sees the last batch that was committed when it began."""

    schema: ClassVar[Schema]
    tables: ClassVar[tuple[str, ...]]  # what `counts` counts

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: apsw.Connection | None = None

    def open(self) -> None:
        """Open the file."""
        if self._connection is None:
            self._connection = connect_reader(self.path, self.schema)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a SELECT; parameters are written `?`."""
        if self._connection is None:
            raise RuntimeError(f"the reader of {self.path} is not open")
        with interpreted(self.path):
            try:
                cursor = self._connection.cursor()
                cursor.row_trace = _by_name
                rows: list[Any] = cursor.execute(statement, parameters).fetchall()
            except (apsw.SQLError, apsw.ReadOnlyError, apsw.BindingsError) as error:
                raise QueryRefused(str(error)) from error
            return rows

    def counts(self) -> dict[str, int]:
        """Return how many rows each table of the store has."""
        return {table: self.query(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in self.tables}  # noqa: S608


def _by_name(cursor: apsw.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.get_description(), row, strict=True)}
