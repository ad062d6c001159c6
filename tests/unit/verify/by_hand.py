# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What anybody could do to the files of embedded stores, and as what the sweep is to find it."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlite_vec  # pyright: ignore[reportMissingTypeStubs] - it has none

from connectors.sinks.folder.keys import path_of, sidecar_of
from schemas.writes import WRITE_TYPES, NodeRef, StoreName, Write
from streams.verify.lines import Kind

Deed = tuple[Kind, Callable[[Path, str], object]]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = date(2026, 11, 21)
ENTITIES = ("e0", "e1", "e2", "e3", "e4", "e5")
RELATIONS = ("e3", "e4", "e5")  # in the graph; the others are their nodes
FILES: Mapping[StoreName, str] = {
    "graph": "graph.db",
    "vector": "vector.db",
    "search": "search.db",
    "timeseries": "timeseries.db",
    "cache": "cache.db",
    "objects": "objects/.index.db",
    "warehouse": "warehouse/_manifest.db",
}


def write_of(store: StoreName, entity: str, version: int = 5) -> Write:
    """Return a write that tells its entity from all others by each member of its content."""
    number = int.from_bytes(entity.encode(), "big")
    contents: Mapping[StoreName, dict[str, Any]] = {
        "graph": _graph(entity, number),
        "vector": {
            "namespace": "places",
            "values": np.array([0.6, 0.8, number % 7], "<f4").tobytes(),
            "model": "m",
            "text": f"text of {entity}",
            "metadata": {"of": entity},
        },
        "search": {"kind": "k", "name": entity, "text": "t", "lat": 40.5, "lon": -74.0, "fields": {"of": entity}},
        "timeseries": {"measurement": "gps", "tags": {"u": "u1"}, "fields": {"v": 1.0}, "time_ns": number},
        "objects": {"key": f"folder/{entity}", "data": entity.encode(), "metadata": {"of": entity}},
        "cache": {"key": entity, "value": {"of": entity}},
        "warehouse": {"dataset": "events", "day": DAY, "user_id": "u1", "type": "t", "body": {"of": entity}},
    }
    common: dict[str, Any] = {"entity": entity, "version": version, "source": "events", "event_id": "e-1"}
    return WRITE_TYPES[store](**common, occurred_at=NOW, **contents[store])  # pyright: ignore[reportReturnType] - one of them


def _graph(entity: str, number: int) -> dict[str, Any]:
    if entity in RELATIONS:
        ends = {"start": NodeRef("Place", ENTITIES[number % 3]), "end": NodeRef("Place", ENTITIES[(number + 1) % 3])}
        return {"relation": "NEAR", **ends, "properties": {"metres": number}}
    return {"node": NodeRef("Place", entity), "properties": {"name": entity}}


def deeds(store: StoreName, entity: str) -> Mapping[str, Deed]:
    """Return what can be done to an entity that is there, by name."""
    found: dict[str, Deed] = {
        "version set back": ("stale", sql(store, "UPDATE versions SET version = version - 1 WHERE entity = ?1")),
        "version put ahead": ("different", sql(store, "UPDATE versions SET version = 99 WHERE entity = ?1")),
        "version removed": ("missing", sql(store, "DELETE FROM versions WHERE entity = ?1")),
    }
    if store in ("objects", "warehouse"):
        found.update(_OBJECTS if store == "objects" else _WAREHOUSE)
        return found
    name = "relation" if store == "graph" and entity in RELATIONS else store
    found.update({deed: (kind, sql(store, statement)) for deed, (kind, statement) in _SQL[name].items()})
    return found


_SQL: Mapping[str, Mapping[str, tuple[Kind, str]]] = {
    "graph": {
        "node removed": ("missing", "DELETE FROM nodes WHERE entity = ?1"),
        "property altered": ("different", 'UPDATE nodes SET properties = \'{"name": "other"}\' WHERE entity = ?1'),
        "property added": (
            "different",
            "UPDATE nodes SET properties = json_set(properties, '$.a', 1) WHERE entity = ?1",
        ),
        "properties broken": ("different", "UPDATE nodes SET properties = '{' WHERE entity = ?1"),
    },
    "relation": {
        "relation removed": ("missing", "DELETE FROM relations WHERE entity = ?1"),
        "property altered": ("different", "UPDATE relations SET properties = '{\"metres\": -1}' WHERE entity = ?1"),
        "type altered": ("different", "UPDATE relations SET type = 'FAR' WHERE entity = ?1"),
        "end altered": ("different", "UPDATE relations SET end_id = start_id WHERE entity = ?1"),
        "turned round": (
            "different",
            "UPDATE relations SET start_id = end_id, end_id = start_id WHERE entity = ?1",
        ),
    },
    "vector": {
        "document removed": ("missing", "DELETE FROM documents WHERE entity = ?1"),
        "text altered": ("different", "UPDATE documents SET text = 'other' WHERE entity = ?1"),
        "metadata altered": ("different", 'UPDATE documents SET metadata = \'{"of": "other"}\' WHERE entity = ?1'),
        "metadata broken": ("different", "UPDATE documents SET metadata = '{' WHERE entity = ?1"),
        "vector altered": (
            "different",
            "UPDATE vectors_places SET embedding = '[0.1, 0.2, 0.3]' "
            "WHERE rowid = (SELECT id FROM documents WHERE entity = ?1)",
        ),
        "vector removed": (
            "missing",
            "DELETE FROM vectors_places WHERE rowid = (SELECT id FROM documents WHERE entity = ?1)",
        ),
    },
    "search": {
        "removed": ("missing", "DELETE FROM documents WHERE entity = ?1"),
        "name altered": ("different", "UPDATE documents SET name = 'other' WHERE entity = ?1"),
        "moved": ("different", "UPDATE documents SET lat = 1, lon = 1 WHERE entity = ?1"),
        "fields broken": ("different", "UPDATE documents SET fields = '{' WHERE entity = ?1"),
    },
    "timeseries": {
        "removed": ("missing", "DELETE FROM points WHERE entity = ?1"),
        "field altered": ("different", "UPDATE points SET fields = '{\"v\": 2.0}' WHERE entity = ?1"),
        "moved": ("different", "UPDATE points SET time_ns = time_ns + 1000000000 WHERE entity = ?1"),
    },
    "cache": {
        "removed": ("missing", "DELETE FROM entries WHERE entity = ?1"),
        "value altered": ("different", "UPDATE entries SET value = '1' WHERE entity = ?1"),
        "key altered": ("different", "UPDATE entries SET key = 'other ' || key WHERE entity = ?1"),
    },
}


def sql(store: StoreName, statement: str) -> Callable[[Path, str], object]:
    """Return what executes a statement on the file of a store; ?1 is the entity."""

    def deed(folder: Path, entity: str) -> None:
        connection = apsw.Connection(str(folder / FILES[store]))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.execute(statement, (entity,))
        connection.close()

    return deed


def _object(folder: Path, entity: str) -> Path:
    return folder / "objects" / path_of(f"folder/{entity}")


def _sidecar(folder: Path, entity: str) -> Path:
    return folder / "objects" / sidecar_of(path_of(f"folder/{entity}"))


def _describe(folder: Path, entity: str) -> None:
    path = _sidecar(folder, entity)
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"metadata": {"of": "other"}}))


_OBJECTS: Mapping[str, Deed] = {
    "bytes removed": ("missing", lambda folder, entity: _object(folder, entity).unlink()),
    "bytes altered": ("different", lambda folder, entity: _object(folder, entity).write_bytes(entity.encode()[::-1])),
    "bytes cut": ("missing", lambda folder, entity: _object(folder, entity).write_bytes(b"")),
    "description removed": ("missing", lambda folder, entity: _sidecar(folder, entity).unlink()),
    "description altered": ("different", _describe),
    "description broken": ("different", lambda folder, entity: _sidecar(folder, entity).write_bytes(b"{")),
}


def rows(change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Callable[[Path, str], object]:
    """Return what makes other rows of the row of an entity, in whichever file it lies."""

    def deed(folder: Path, entity: str) -> None:
        for path in (folder / "warehouse").rglob("part-*.parquet"):
            with pq.ParquetFile(path) as file:
                table: Any = file.read()
            changed = [row for one in table.to_pylist() for row in (change(one) if one["entity"] == entity else [one])]
            pq.write_table(pa.Table.from_pylist(changed, schema=table.schema), path)

    return deed


_WAREHOUSE: Mapping[str, Deed] = {
    "row removed": ("missing", rows(lambda _: [])),
    "column altered": ("different", rows(lambda row: [row | {"user_id": "u2"}])),
    "row twice": ("different", rows(lambda row: [row, row])),
    "version altered": ("different", rows(lambda row: [row | {"version": 4}])),
}
