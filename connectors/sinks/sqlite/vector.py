# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Vectors in SQLite: one sqlite-vec table a namespace, compared by cosine distance."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args, get_type_hints

import apsw
import msgspec
import numpy as np
from msgspec import Struct

from connectors.sinks.contract import APPLIED, Outcome
from connectors.sinks.persons import delete_of
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.sqlite.recognising import RecognisingSink
from connectors.sinks.sqlite.values import json_object, json_text
from schemas.persons import USER_ID
from schemas.writes import Scalar, VectorWrite

NAMESPACES: tuple[str, ...] = get_args(get_type_hints(VectorWrite)["namespace"])
MAX_NEIGHBOURS = 4_096  # sqlite-vec's own limit of k
# sqlite-vec keeps so many vectors in one value, and SQLite follows the pages of that up to the vector which is read or
# written: of 1,024, its default, an update took 218 us, of 64 it takes 59, and searching all 10,000 5 % longer.
CHUNK_VECTORS = 64
_DIGEST_BYTES = 16

SCHEMA = Schema(
    tag="TOve",
    vectors=True,
    migrations=(
        """
        -- The first vector of a namespace settles its model and dimension; its vectors lie in `vectors_<name>`.
        CREATE TABLE namespaces (
            name TEXT PRIMARY KEY,
            model TEXT NOT NULL,
            dimension INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE documents (
            id INTEGER PRIMARY KEY,
            entity TEXT NOT NULL UNIQUE,
            namespace TEXT NOT NULL REFERENCES namespaces (name),
            text TEXT NOT NULL,
            metadata TEXT NOT NULL
        ) STRICT;
        CREATE INDEX documents_by_namespace ON documents (namespace);
        """,
        # Of the vector as it was written last; null: not known, it was written by an earlier release.
        "ALTER TABLE documents ADD COLUMN digest BLOB",
    ),
)


class VectorSink(RecognisingSink[VectorWrite]):
    """Documents with their vectors. A namespace has one model and one dimension, those of its first vector.

    When a namespace has become empty, its next vector settles them anew.
    """

    schema = SCHEMA
    kind = VectorWrite
    entities = "SELECT entity FROM documents"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._namespaces: dict[str, tuple[str, int]] = {}  # as the open transaction sees them

    def copies(self) -> str:
        """A document counts once for each of its vectors, in whichever namespace."""
        tables = [name for (name,) in self.connection.execute("SELECT name FROM namespaces")]
        vectors = " UNION ALL ".join(f"SELECT rowid FROM {_table(name)}_rowids" for name in tables)  # noqa: S608
        return (
            f"(SELECT count(*) FROM documents AS d JOIN ({vectors or 'SELECT NULL AS rowid'}) AS x ON x.rowid = d.id "  # noqa: S608
            "WHERE d.entity = v.entity)"
        )

    def begin(self, connection: apsw.Connection) -> None:
        """Read which models and dimensions the namespaces have."""
        rows = connection.execute("SELECT name, model, dimension FROM namespaces")
        self._namespaces = {name: (model, size) for name, model, size in rows}

    def upsert(self, connection: apsw.Connection, write: VectorWrite) -> Outcome:
        """Store a document and its vector.

        Most changes of a row leave its text as it is, and so its vector, which then is not written again: that costs
        more than all the rest. One that somebody altered by hand comes as a repair.
        """
        dimension = self._checked(connection, write)
        metadata = json_object("metadata", write.metadata)
        digest = blake2b(write.values, digest_size=_DIGEST_BYTES).digest()
        found = connection.execute(
            "SELECT id, namespace, digest FROM documents WHERE entity = ?", (write.entity,)
        ).fetchone()
        if found is not None and found[1] != write.namespace:
            self.delete(connection, write)
            found = None
        if found is not None:
            connection.execute(
                "UPDATE documents SET text = ?, metadata = ?, digest = ? WHERE id = ?",
                (write.text, metadata, digest, found[0]),
            )
            if write.repair:
                self._put(connection, write, found[0])
            elif found[2] != digest:
                connection.execute(
                    f"UPDATE {_table(write.namespace)} SET embedding = ? WHERE rowid = ?",  # noqa: S608
                    (write.values, found[0]),
                )
            return APPLIED
        if write.namespace not in self._namespaces:
            self._create(connection, write.namespace, write.model, dimension)
        connection.execute(
            "INSERT INTO documents (entity, namespace, text, metadata, digest) VALUES (?, ?, ?, ?, ?)",
            (write.entity, write.namespace, write.text, metadata, digest),
        )
        self._put(connection, write, connection.last_insert_rowid())
        return APPLIED

    def _put(self, connection: apsw.Connection, write: VectorWrite, number: int) -> None:
        """Store the vector of a document, in place of one that lies there already, and in no other namespace.

        Somebody may have removed a vector, or a document and left its vector, whose number SQLite gives again.
        """
        for name in self._namespaces:
            if connection.execute(f"SELECT 1 FROM {_table(name)}_rowids WHERE rowid = ?", (number,)).get:  # noqa: S608
                connection.execute(f"DELETE FROM {_table(name)} WHERE rowid = ?", (number,))  # noqa: S608
        connection.execute(
            f"INSERT INTO {_table(write.namespace)} (rowid, embedding) VALUES (?, ?)",  # noqa: S608
            (number, write.values),
        )

    def content(self, connection: apsw.Connection, write: VectorWrite) -> dict[str, Any] | None:
        """Return the text and its vector."""
        found = connection.execute(
            """
            SELECT d.id, d.namespace, n.model, d.text, d.metadata
            FROM documents AS d JOIN namespaces AS n ON n.name = d.namespace WHERE d.entity = ?
            """,
            (write.entity,),
        ).fetchone()
        if found is None:
            return None
        number, namespace, model, text, metadata = found
        values: Any = connection.execute(
            f"SELECT embedding FROM {_table(namespace)} WHERE rowid = ?",  # noqa: S608 - one of our own names
            (number,),
        ).get
        if values is None:  # somebody has removed the vector, and what is left is never found
            return None
        return {
            "namespace": namespace,
            "values": bytes(values),
            "model": model,
            "text": text,
            "metadata": msgspec.json.decode(metadata),
        }

    def belonging(self, connection: apsw.Connection, user: str) -> Iterator[VectorWrite]:
        """Yield the documents whose metadata name a person."""
        rows = connection.execute(
            """
            SELECT d.entity, v.source, v.version, d.namespace FROM documents AS d JOIN versions AS v USING (entity)
            WHERE d.metadata ->> ? = ?
            """,
            (USER_ID, user),
        )
        for entity, source, version, namespace in rows:
            yield delete_of(VectorWrite, entity, source, version, namespace=namespace)

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> VectorWrite:
        """Return the delete of a document, without a look at its vector."""
        namespace: Any = connection.execute("SELECT namespace FROM documents WHERE entity = ?", (entity,)).get
        return delete_of(VectorWrite, entity, source, version, namespace=namespace)

    def delete(self, connection: apsw.Connection, write: VectorWrite) -> None:
        """Remove a document and its vector, in whichever namespace they are."""
        removed = connection.execute(
            "DELETE FROM documents WHERE entity = ? RETURNING id, namespace", (write.entity,)
        ).fetchone()
        if removed is not None:
            connection.execute(f"DELETE FROM {_table(removed[1])} WHERE rowid = ?", (removed[0],))  # noqa: S608

    def _checked(self, connection: apsw.Connection, write: VectorWrite) -> int:
        """Return the dimension of a vector that the namespace can take."""
        if write.namespace not in NAMESPACES:
            raise Refused(f"`namespace` is `{write.namespace}`, not one of {', '.join(NAMESPACES)}")
        if not write.values or len(write.values) % 4:
            raise Refused(f"`values` are {len(write.values)} bytes, not a whole number of float32")
        values = np.frombuffer(write.values, "<f4")
        length = float(values @ values)  # not finite when any value is not
        if not np.isfinite(length):
            raise Refused("`values` are not all finite, or too large")
        if length == 0:
            raise Refused("`values` are all zero, which has no direction to compare")
        settled = self._namespaces.get(write.namespace)
        if settled is None or settled == (write.model, values.size):
            return values.size
        if self._forgotten(connection, write.namespace):
            return values.size
        model, dimension = settled
        if model != write.model:
            raise Refused(
                f"`model` is `{write.model}`, but namespace `{write.namespace}` holds vectors of `{model}`, which do "
                "not compare; remove vector.db and replay to change the model"
            )
        raise Refused(
            f"`values` have {values.size} dimensions, but namespace `{write.namespace}` holds vectors of {dimension}"
        )

    def _forgotten(self, connection: apsw.Connection, namespace: str) -> bool:
        """Drop a namespace that holds nothing any more; whether it did."""
        if connection.execute("SELECT 1 FROM documents WHERE namespace = ? LIMIT 1", (namespace,)).fetchone():
            return False
        connection.execute(f"DROP TABLE {_table(namespace)}")
        connection.execute("DELETE FROM namespaces WHERE name = ?", (namespace,))
        del self._namespaces[namespace]
        return True

    def _create(self, connection: apsw.Connection, namespace: str, model: str, dimension: int) -> None:
        connection.execute(
            f"CREATE VIRTUAL TABLE {_table(namespace)} USING "
            f"vec0(embedding float[{dimension}] distance_metric=cosine, chunk_size={CHUNK_VECTORS})"
        )
        connection.execute("INSERT INTO namespaces VALUES (?, ?, ?)", (namespace, model, dimension))
        self._namespaces[namespace] = (model, dimension)


class Match(Struct, frozen=True):
    """A document near a vector. `distance` is the cosine distance: 0 the same direction, 1 unrelated, 2 opposite."""

    entity: str
    distance: float
    text: str
    metadata: dict[str, Any]


class VectorReader(SQLiteReader):
    """Questions to the vectors."""

    schema = SCHEMA
    tables = ("documents",)

    def nearest(
        self, namespace: str, vector: bytes, k: int = 10, *, filters: Mapping[str, Scalar] | None = None
    ) -> list[Match]:
        """Return the `k` documents of a namespace nearest to a vector, nearest first; exact, not approximate.

        Args:
            namespace: where to look; one that has no vectors has no matches.
            vector: float32, little endian, of the namespace's dimension.
            k: how many, at most 4,096.
            filters: metadata that the documents must have; applied before the search, so `k` are found if there are.

        Raises:
            ValueError: the vector has another dimension than the namespace, or `k` is out of range.
        """
        if not 1 <= k <= MAX_NEIGHBOURS:
            raise ValueError(f"k must be in 1..{MAX_NEIGHBOURS}, got {k}")
        settled = self.query("SELECT dimension FROM namespaces WHERE name = ?", (namespace,))
        if not settled:
            return []
        if len(vector) != 4 * settled[0]["dimension"]:
            raise ValueError(
                f"vector has {len(vector) / 4:g} dimensions, namespace `{namespace}` has {settled[0]['dimension']}"
            )
        among, wanted = "", ()
        if filters:
            among = """AND rowid IN (
                SELECT d.id FROM documents AS d WHERE NOT EXISTS (
                    SELECT 1 FROM json_each(?) AS f
                    WHERE NOT EXISTS (
                        SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = f.key AND m.value IS f.value
                    )
                ))"""
            wanted = (json_text(filters),)
        rows = self.query(
            f"""
            WITH near AS (
                SELECT rowid, distance FROM {_table(namespace)} WHERE embedding MATCH ? AND k = ? {among}
            )
            SELECT d.entity, near.distance, d.text, d.metadata
            FROM near JOIN documents AS d ON d.id = near.rowid ORDER BY near.distance, d.id
            """,  # noqa: S608
            (vector, k, *wanted),
        )
        return [
            Match(row["entity"], row["distance"], row["text"], msgspec.json.decode(row["metadata"])) for row in rows
        ]


def _table(namespace: str) -> str:
    """Return the name of a namespace's table. It becomes part of a statement, so it must be one of ours."""
    if namespace not in NAMESPACES:
        raise ValueError(f"namespace must be one of {', '.join(NAMESPACES)}, got {namespace!r}")
    return f"vectors_{namespace}"
