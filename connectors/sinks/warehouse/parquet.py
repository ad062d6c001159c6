# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
"""The rows of the warehouse as Parquet files."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.values import json_text
from schemas.persons import TRAVELLER_TABLES
from schemas.writes import WarehouseWrite

# `day` is the folder's name and not a column: BigQuery refuses a column that the path says already.
COLUMNS: Any = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("entity", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("body", pa.string(), nullable=False),  # JSON
    ]
)

Identity = tuple[str, str]  # entity, source
Source = Path | BytesIO  # of a file's bytes


class Row(NamedTuple):
    """One row of history, with its body as JSON text."""

    write: WarehouseWrite
    body: str


def row(write: WarehouseWrite) -> Row:
    """Return a write as a row that certainly fits into a file.

    Raises:
        UnicodeEncodeError: a text is not valid Unicode.
        Refused: the time has no offset.
    """
    for text in (write.entity, write.source, write.event_id, write.type, write.user_id or ""):
        text.encode()
    if write.occurred_at.tzinfo is None:
        raise Refused("`occurred_at` has no offset from UTC")
    return Row(write, json_text(write.body))


def table_of(rows: Sequence[Row]) -> Any:
    """Return rows as an Arrow table."""
    writes = [row.write for row in rows]
    columns = [
        [write.event_id for write in writes],
        [write.entity for write in writes],
        [write.type for write in writes],
        [write.user_id for write in writes],
        [write.occurred_at for write in writes],
        [write.version for write in writes],
        [write.source for write in writes],
        [row.body for row in rows],
    ]
    return pa.table(columns, schema=COLUMNS)


def write_table(table: Any, file: IO[bytes]) -> None:
    """Write a table as Parquet."""
    pq.write_table(table, file, compression="zstd")


def read_tables(sources: Iterable[Source]) -> Any:
    """Return the rows of files as one table; columns that a file of another release lacks are null."""
    return pa.concat_tables([COLUMNS.empty_table(), *map(_read, sources)], promote_options="default")


def without(table: Any, identities: set[Identity]) -> Any:
    """Return a table without the rows of these identities."""
    keep = [identity not in identities for identity in identities_of(table)]
    return table.filter(pa.array(keep, pa.bool_()))


def identities_of(table: Any) -> list[Identity]:
    """Return the identity of each row."""
    return list(zip(table["entity"].to_pylist(), table["source"].to_pylist(), strict=True))


def identities_in(source: Source, entities: Sequence[str]) -> list[Identity]:
    """Return the identities of a file's rows that belong to these entities."""
    table = _read(source, ["entity", "source"])
    return identities_of(table.filter(pc.field("entity").isin(entities)))


def content_of(source: Source, identity: Identity) -> dict[str, Any] | None:
    """Return the content of a file's row, by the names of the write's fields; None when it is not there."""
    entity, writer = identity
    rows = _read(source).filter((pc.field("entity") == entity) & (pc.field("source") == writer)).to_pylist()
    return _content(rows[0]) if rows else None


def contents_of(source: Source, identities: Sequence[Identity]) -> dict[Identity, dict[str, Any]]:
    """Return the same of several rows, and their versions, which the file itself has."""
    wanted = set(identities)
    entities = list({entity for entity, _ in identities})
    rows = _read(source).filter(pc.field("entity").isin(entities)).to_pylist()
    return {
        identity: {**_content(row), "version": row["version"]}
        for row in rows
        if (identity := (row["entity"], row["source"])) in wanted
    }


def _content(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in ("event_id", "type", "user_id", "occurred_at")}
    return {**found, "body": msgspec.json.decode(row["body"])}


def rows_of_person(source: Source, user: str) -> list[tuple[str, str, int]]:
    """Return entity, source and version of the rows of a file that are about a person."""
    table = _read(source, ["entity", "source", "version", "user_id", "type", "body"])
    theirs = pc.field("user_id") == user
    tables = [f"{name}.{op}" for name in TRAVELLER_TABLES for op in "cudr"]
    found = table.filter(theirs | pc.field("type").isin(tables))
    return [
        (row["entity"], row["source"], row["version"])
        for row in found.to_pylist()
        if row["user_id"] == user or str(msgspec.json.decode(row["body"]).get("id")) == user
    ]


def versions_in(source: Source) -> list[tuple[str, str, int]]:
    """Return entity, source and version of each row."""
    table = _read(source, ["entity", "source", "version"])
    columns = [table[name].to_pylist() for name in ("entity", "source", "version")]
    return list(zip(*columns, strict=True))


def _read(source: Source, columns: list[str] | None = None) -> Any:
    with pq.ParquetFile(source) as file:
        return file.read(columns=columns)
