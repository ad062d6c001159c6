# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Ask the warehouse with DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from connectors.sinks.reader import QueryRefused, Reader, Row
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.warehouse.manifest import SCHEMA
from connectors.sinks.warehouse.sink import DATASETS, MANIFEST

_ATTEMPTS = 5

_NOTHING = """
    SELECT NULL::VARCHAR AS event_id, NULL::VARCHAR AS entity, NULL::VARCHAR AS type, NULL::VARCHAR AS user_id,
        NULL::TIMESTAMPTZ AS occurred_at, NULL::BIGINT AS version, NULL::VARCHAR AS source, NULL::VARCHAR AS body,
        NULL::DATE AS day
    WHERE false
"""


class WarehouseReader(Reader):
    """A view for each dataset (`events`, `activities`, `changes`) over the files that the manifest names.

    Each query sees the rows of one moment, exactly once, whatever is being written or merged meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest = _ManifestReader(folder / MANIFEST)

    def open(self) -> None:
        """Open the manifest."""
        self._manifest.open()

    def close(self) -> None:
        """Close the manifest."""
        self._manifest.close()

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a SELECT; parameters are written `?`. Times are UTC."""
        for _ in range(_ATTEMPTS):
            try:
                return self._query(statement, parameters)
            except duckdb.IOException:  # a file was merged into another after the manifest was read
                continue
        return self._query(statement, parameters)

    def counts(self) -> dict[str, int]:
        """Return how many rows each dataset has."""
        rows = self._manifest.query("SELECT dataset, sum(rows) AS n FROM files WHERE live GROUP BY dataset")
        return dict.fromkeys(DATASETS, 0) | {row["dataset"]: row["n"] for row in rows}

    def _query(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        files: dict[str, list[str]] = {dataset: [] for dataset in DATASETS}
        for row in self._manifest.query("SELECT dataset, path FROM files WHERE live ORDER BY day, id"):
            files[row["dataset"]].append(str(self.folder / row["path"]))
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for dataset, paths in files.items():
                connection.execute(f"CREATE VIEW {dataset} AS {_select(paths)}")
            try:
                cursor = connection.execute(statement, parameters)
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            except (duckdb.ProgrammingError, duckdb.DataError) as error:
                raise QueryRefused(str(error)) from error


class _ManifestReader(SQLiteReader):
    schema = SCHEMA
    tables = ("files",)


def _select(paths: Sequence[str]) -> str:
    if not paths:
        return _NOTHING
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    how = "union_by_name = true, hive_partitioning = true, hive_types = {'day': DATE}"
    return f"SELECT * FROM read_parquet([{listed}], {how})"  # noqa: S608
