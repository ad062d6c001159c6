"""Read the relational store."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from connectors.sinks.postgres.connection import Connection, connect
from connectors.sinks.postgres.errors import interpreted
from connectors.sinks.postgres.tables import SCHEMA, TABLES
from connectors.sinks.reader import QueryRefused, Reader, Row


class RelationalReader(Reader):
    """Questions to the tables, which need no schema before their names. Times are UTC. Nothing can be changed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn)
            self._connection.autocommit = True  # each query sees what is committed when it begins
            with interpreted():
                self._connection.execute("SET default_transaction_read_only = on; SET TimeZone = 'UTC'")
                self._connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(SCHEMA)))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a SELECT; parameters are written `%s`."""
        if self._connection is None:
            raise RuntimeError("the reader is not open")
        with interpreted(), self._connection.cursor(row_factory=dict_row) as cursor:
            try:
                return cursor.execute(statement.encode(), parameters or None).fetchall()
            except (psycopg.ProgrammingError, psycopg.DataError, psycopg.errors.ReadOnlySqlTransaction) as error:
                raise QueryRefused(str(error)) from error

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return {table: self.query(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in TABLES}  # noqa: S608
