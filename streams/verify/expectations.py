"""What one store should hold, folded from its writes into a file that is gone with the process.

Of each entity and source it keeps the newest version, a digest of its content, and where the write lies in Kafka, not
the write itself: some 400 bytes each, on disk once it is more than SQLite's cache.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import cast
from zlib import crc32

import msgspec
import structlog

from connectors.kafka.reading import StoredRecord
from connectors.sinks.content import comparable
from connectors.sinks.undo import emptied
from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    InvalidWrite,
    NodeRef,
    RelationalWrite,
    StoreName,
    Write,
    decode_write,
    encode_write,
    store_of,
)
from streams.conflicts.canonical import NotCanonical, digest
from streams.delivery.opening import Opening
from streams.verify.lines import Column, Home, Line, Origin

log = structlog.get_logger(__name__)

_NEVER = -1
_PLACES = ("node", "relation", "start", "end", "keep_relations")  # what a delete in the graph names beside the entity
_SCHEMA = """
CREATE TABLE lines (
    entity TEXT, source TEXT, version INTEGER, deleted INTEGER, removed INTEGER, digest BLOB,
    at_ms INTEGER, gone_at_ms INTEGER, topic TEXT, partition INTEGER, offset INTEGER, place BLOB,
    PRIMARY KEY (entity, source)
) WITHOUT ROWID;
CREATE TABLE columns (
    entity TEXT, source TEXT, name TEXT, version INTEGER, digest BLOB, topic TEXT, partition INTEGER, offset INTEGER,
    PRIMARY KEY (entity, source, name)
) WITHOUT ROWID;
CREATE TABLE ahead (entity TEXT, topic TEXT, partition INTEGER, offset INTEGER);
CREATE INDEX ahead_by_entity ON ahead (entity);
CREATE TABLE deleted_nodes (label TEXT, id TEXT, PRIMARY KEY (label, id)) WITHOUT ROWID;
CREATE TABLE rows (name TEXT, key TEXT, PRIMARY KEY (name, key)) WITHOUT ROWID;
CREATE TABLE rejected (topic TEXT, partition INTEGER, offset INTEGER, PRIMARY KEY (topic, partition, offset));
"""
_KEPT = """
INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (entity, source) DO UPDATE SET
    version = excluded.version, deleted = excluded.deleted, removed = max(removed, excluded.removed),
    digest = excluded.digest, at_ms = excluded.at_ms, gone_at_ms = excluded.gone_at_ms, topic = excluded.topic,
    partition = excluded.partition, offset = excluded.offset, place = excluded.place
WHERE excluded.version > version OR (? AND excluded.version = version)
"""
_COLUMN = """
INSERT INTO columns VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (entity, source, name) DO UPDATE SET
    version = excluded.version, digest = excluded.digest, topic = excluded.topic, partition = excluded.partition,
    offset = excluded.offset
WHERE excluded.version > version OR (? AND excluded.version = version)
"""


class Expectations:
    """The newest write of each entity and source of a store.

    Args:
        store: which one.
        share: of the entities, 0 to 1; the same ones each time.
        opening: opens the contents of sealed writes.
    """

    def __init__(self, store: StoreName, share: float = 1.0, opening: Opening | None = None) -> None:
        self.store = store
        self._share = share
        self._opening = opening or Opening()
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self.complete = True  # whether what is taken goes back to the first write

    def __len__(self) -> int:
        return self._one("SELECT count(DISTINCT entity) FROM lines")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def includes(self, entity: str) -> bool:
        """Whether an entity is in the sample."""
        return self._share >= 1 or crc32(entity.encode("utf-8", "surrogatepass")) < self._share * 2**32

    def reject(self, origins: Iterable[Origin]) -> None:
        """Note writes that became dead letters: no store is to hold them. Before they are taken."""
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO rejected VALUES (?, ?, ?)", origins)

    def take(self, records: Iterable[StoredRecord], finished: Mapping[Home, int]) -> None:
        """Fold records in, those of a partition in their order.

        Args:
            records: of the store's topics.
            finished: by topic and partition, the offset that deliveries have come to.
        """
        self._db.execute("BEGIN")
        try:
            for record in records:
                self._take(record, finished)
        finally:
            self._db.execute("COMMIT")

    def advance(self, finished: Mapping[Home, int]) -> None:
        """Note how far deliveries have come by now."""
        with self._db:
            self._db.executemany(
                "DELETE FROM ahead WHERE topic = ? AND partition = ? AND offset < ?",
                [(*home, offset) for home, offset in finished.items()],
            )

    def under_way(self) -> int:
        """Return how many entities have writes that may not have come to the store yet."""
        return self._one("SELECT count(DISTINCT entity) FROM ahead")

    def rejected(self) -> int:
        """Return how many writes became dead letters."""
        return self._one("SELECT count(*) FROM rejected")

    def knows(self, entity: str) -> bool:
        """Whether any write tells of an entity."""
        return self._one("SELECT EXISTS (SELECT 1 FROM lines WHERE entity = ?)", entity) == 1

    def tells_of(self, place: Write) -> bool:
        """Whether any write tells of an entity, or of the row that it is, by whatever name and in the sample or not."""
        if self.knows(place.entity):
            return True
        if not isinstance(place, RelationalWrite):
            return False
        row = (place.table, place.key)
        return self._one("SELECT EXISTS (SELECT 1 FROM rows WHERE name = ? AND key = ?)", *row) == 1

    def is_under_way(self, entity: str) -> bool:
        """Whether a write of an entity may not have come to the store yet."""
        return self._one("SELECT EXISTS (SELECT 1 FROM ahead WHERE entity = ?)", entity) == 1

    def entities(self, size: int) -> Iterator[list[str]]:
        """Yield the names of all entities in pages."""
        last = ""
        while True:
            rows = self._db.execute(
                "SELECT DISTINCT entity FROM lines WHERE entity > ? ORDER BY entity LIMIT ?", (last, size)
            ).fetchall()
            if not rows:
                return
            yield [entity for (entity,) in rows]
            last = rows[-1][0]

    def lines(self, entity: str) -> list[Line]:
        """Return what is expected of an entity, by source."""
        rows = self._db.execute(
            """
            SELECT source, version, deleted, digest, at_ms, gone_at_ms, topic, partition, offset, place
            FROM lines WHERE entity = ? ORDER BY source
            """,
            (entity,),
        ).fetchall()
        return [self._line(entity, row) for row in rows]

    def _line(self, entity: str, row: tuple[object, ...]) -> Line:
        source, version, deleted, content, at_ms, gone_at_ms, topic, partition, offset, place = row
        write = decode_write(msgspec.convert(place, bytes))
        return Line(
            entity=entity,
            source=str(source),
            version=msgspec.convert(version, int),
            deleted=bool(deleted),
            digest=msgspec.convert(content, bytes),
            at_ms=msgspec.convert(at_ms, int),
            gone_at_ms=msgspec.convert(gone_at_ms, int | None),
            origin=Origin(str(topic), msgspec.convert(partition, int), msgspec.convert(offset, int)),
            place=write,
            columns=self._columns(entity, str(source)) if isinstance(write, RelationalWrite) else {},
            may_be_gone=isinstance(write, GraphWrite) and self._lost_a_node(write),
        )

    def _columns(self, entity: str, source: str) -> dict[str, Column]:
        rows = self._db.execute(
            "SELECT name, digest, topic, partition, offset FROM columns WHERE entity = ? AND source = ?",
            (entity, source),
        )
        return {
            name: Column(content, Origin(topic, partition, offset)) for name, content, topic, partition, offset in rows
        }

    def _lost_a_node(self, write: GraphWrite) -> bool:
        ends = [node for node in (write.start, write.end) if node is not None]
        return bool(ends) and (not self.complete or any(map(self._was_deleted, ends)))

    def _was_deleted(self, node: NodeRef) -> bool:
        found = self._one(
            "SELECT EXISTS (SELECT 1 FROM deleted_nodes WHERE label = ?1 AND id = ?2)", node.label, node.id
        )
        return found == 1

    def _take(self, record: StoredRecord, finished: Mapping[Home, int]) -> None:
        origin = Origin(record.topic, record.partition, record.offset)
        if self._one(
            "SELECT EXISTS (SELECT 1 FROM rejected WHERE topic = ? AND partition = ? AND offset = ?)", *origin
        ):
            return
        try:
            write = decode_write(record.value or b"")
            if store_of(write) != self.store:
                raise InvalidWrite(f"it is for the store {store_of(write)}")
            self._note_place(write)
            if not self.includes(write.entity):
                return
            (content,) = self._opening.opened([write])
            if not isinstance(content, BaseWrite):
                return  # its person was erased, or delivery makes a dead letter of it: no store is to hold it
            write = cast("Write", content)
            if record.offset >= finished.get((record.topic, record.partition), 0):
                self._db.execute("INSERT INTO ahead VALUES (?, ?, ?, ?)", (write.entity, *origin))
            self._fold(write, record, origin)
        except (InvalidWrite, NotCanonical) as error:
            # Delivery has made, or will make, a dead letter of it.
            log.debug("write_not_readable", topic=origin.topic, offset=origin.offset, error=str(error))

    def _note_place(self, write: Write) -> None:
        """Remember what others ask for that are in the sample: nodes that were deleted, and rows."""
        if isinstance(write, RelationalWrite):
            self._db.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", (write.table, write.key))
        elif isinstance(write, GraphWrite) and write.op == "delete" and write.node and not write.keep_relations:
            self._db.execute("INSERT OR IGNORE INTO deleted_nodes VALUES (?, ?)", (write.node.label, write.node.id))

    def _fold(self, write: Write, record: StoredRecord, origin: Origin) -> None:
        deleted = write.op == "delete"
        content = b""
        if isinstance(write, RelationalWrite):
            if not self._fold_columns(write, origin):
                return
        elif not deleted:
            content = digest(comparable(write))
        removed = write.version if deleted else _NEVER
        gone_at_ms = None
        if isinstance(write, CacheWrite) and write.ttl_seconds is not None:
            gone_at_ms = record.timestamp + write.ttl_seconds * 1_000
        place = encode_write(place_of(write))
        at = (record.timestamp, gone_at_ms)
        row = (write.entity, write.source, write.version, deleted, removed, content, *at, *origin, place)
        self._db.execute(_KEPT, (*row, write.repair))

    def _fold_columns(self, write: RelationalWrite, origin: Origin) -> bool:
        """Fold the columns of a write in, as `connectors.sinks.postgres.merge` does; whether it takes part at all."""
        line = (write.entity, write.source)
        if write.op == "delete":
            self._db.execute(
                "DELETE FROM columns WHERE entity = ? AND source = ? AND version < ?", (*line, write.version)
            )
            self._db.execute(
                "UPDATE lines SET removed = max(removed, ?) WHERE entity = ? AND source = ?", (write.version, *line)
            )
            return True
        found = self._db.execute("SELECT removed FROM lines WHERE entity = ? AND source = ?", line).fetchone()
        if found is not None and found[0] >= write.version:
            return False
        for name, value in comparable(write)["columns"].items():
            row = (*line, name, write.version, digest({name: value}), *origin)
            self._db.execute(_COLUMN, (*row, write.repair))
        return True

    def _one(self, statement: str, *parameters: object) -> int:
        return int(self._db.execute(statement, parameters).fetchone()[0])


def place_of(write: Write) -> Write:
    """Return the delete of a write's entity, with all that says where it lies and nothing of its content."""
    return emptied(write, _PLACES if isinstance(write, GraphWrite) else ())
