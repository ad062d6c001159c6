# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Full-text and geographic search in SQLite: FTS5 and R*Tree over one table of documents."""

from typing import Any

import apsw
import msgspec
from msgspec import Struct

from connectors.sinks.contract import APPLIED, Outcome
from connectors.sinks.reader import Row
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.geo import boxes_around, distance
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.sqlite.recognising import RecognisingSink
from connectors.sinks.sqlite.values import json_object
from schemas.writes import SearchWrite

SCHEMA = Schema(
    tag="TOse",
    migrations=(
        """
        CREATE TABLE documents (
            id INTEGER PRIMARY KEY,
            entity TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            text TEXT NOT NULL,
            lat REAL CHECK (lat BETWEEN -90 AND 90),
            lon REAL CHECK (lon BETWEEN -180 AND 180),
            score REAL,
            fields TEXT NOT NULL,
            CHECK ((lat IS NULL) = (lon IS NULL))
        ) STRICT;
        CREATE VIRTUAL TABLE texts USING fts5(
            name, text, content = 'documents', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
        );
        CREATE VIRTUAL TABLE positions USING rtree(id, south, north, west, east);

        -- An external-content index must be told the old text to forget it (sqlite.org/fts5.html, 4.4.3). Triggers do
        -- that also for a row that somebody corrects by hand.
        CREATE TRIGGER documents_inserted AFTER INSERT ON documents BEGIN
            INSERT INTO texts (rowid, name, text) VALUES (new.id, new.name, new.text);
            INSERT INTO positions SELECT new.id, new.lat, new.lat, new.lon, new.lon WHERE new.lat IS NOT NULL;
        END;
        CREATE TRIGGER documents_deleted AFTER DELETE ON documents BEGIN
            INSERT INTO texts (texts, rowid, name, text) VALUES ('delete', old.id, old.name, old.text);
            DELETE FROM positions WHERE id = old.id;
        END;
        CREATE TRIGGER documents_reworded AFTER UPDATE ON documents
        WHEN (old.id, old.name, old.text) IS NOT (new.id, new.name, new.text) BEGIN
            INSERT INTO texts (texts, rowid, name, text) VALUES ('delete', old.id, old.name, old.text);
            INSERT INTO texts (rowid, name, text) VALUES (new.id, new.name, new.text);
        END;
        CREATE TRIGGER documents_moved AFTER UPDATE ON documents
        WHEN (old.id, old.lat, old.lon) IS NOT (new.id, new.lat, new.lon) BEGIN
            DELETE FROM positions WHERE id = old.id;
            INSERT INTO positions SELECT new.id, new.lat, new.lat, new.lon, new.lon WHERE new.lat IS NOT NULL;
        END;
        """,
    ),
)


class SearchSink(RecognisingSink[SearchWrite]):
    """Documents with a text, and perhaps a position and a score."""

    schema = SCHEMA
    kind = SearchWrite
    entities = "SELECT entity FROM documents"

    def copies(self) -> str:
        """A document that the full-text index does not know would never be found, so it does not count."""
        return "(SELECT count(*) FROM documents AS d JOIN texts_docsize AS t ON t.id = d.id WHERE d.entity = v.entity)"

    def upsert(self, connection: apsw.Connection, write: SearchWrite) -> Outcome:
        """Store a document."""
        if (write.lat is None) != (write.lon is None):
            raise Refused("`lat` and `lon` come together")
        connection.execute(
            """
            INSERT INTO documents (entity, kind, name, text, lat, lon, score, fields) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (entity) DO UPDATE SET
                kind = excluded.kind, name = excluded.name, text = excluded.text, lat = excluded.lat,
                lon = excluded.lon, score = excluded.score, fields = excluded.fields
            """,
            (
                write.entity,
                write.kind,
                write.name,
                write.text,
                write.lat,
                write.lon,
                write.score,
                json_object("fields", write.fields),
            ),
        )
        return APPLIED

    def content(self, connection: apsw.Connection, write: SearchWrite) -> dict[str, Any] | None:
        """Return the document."""
        columns = ("kind", "name", "text", "lat", "lon", "score", "fields")
        found = connection.execute(
            f"SELECT {', '.join(columns)} FROM documents WHERE entity = ?",  # noqa: S608 - names of our own
            (write.entity,),
        ).fetchone()
        if found is None:
            return None
        document = dict(zip(columns, found, strict=True))
        return {**document, "fields": msgspec.json.decode(document["fields"])}

    def delete(self, connection: apsw.Connection, write: SearchWrite) -> None:
        """Remove a document."""
        connection.execute("DELETE FROM documents WHERE entity = ?", (write.entity,))


class Found(Struct, frozen=True, kw_only=True):
    """A document that was found. `metres` is set by a search around a point, `relevance` (more is better) by words."""

    entity: str
    kind: str
    name: str
    text: str
    lat: float | None
    lon: float | None
    score: float | None
    fields: dict[str, Any]
    metres: float | None = None
    relevance: float | None = None


class SearchReader(SQLiteReader):
    """Questions to the documents."""

    schema = SCHEMA
    tables = ("documents",)

    def matching(self, words: str, *, kind: str | None = None, limit: int = 10) -> list[Found]:
        """Return documents with all these words, most relevant first (BM25; a word in the name counts five-fold).

        The last word may be the beginning of one. Case and accents do not matter.
        """
        expression = match_expression(words)
        if not expression:
            return []
        rows = self.query(
            """
            SELECT d.*, -bm25(texts, 5.0, 1.0) AS relevance FROM texts JOIN documents AS d ON d.id = texts.rowid
            WHERE texts MATCH ? AND (? IS NULL OR d.kind = ?) ORDER BY relevance DESC, d.id LIMIT ?
            """,
            (expression, kind, kind, limit),
        )
        return [_found(row) for row in rows]

    def within(
        self, lat: float, lon: float, metres: float, *, kind: str | None = None, words: str = "", limit: int = 10
    ) -> list[Found]:
        """Return documents within a distance of a point, best first: highest score, then nearest.

        Documents that nobody has judged come last. With `words`, only documents that have them all.
        """
        expression = match_expression(words)
        if words and not expression:
            return []
        rows = [
            row
            for box in boxes_around(lat, lon, metres)
            for row in self.query(
                """
                SELECT d.* FROM positions AS p JOIN documents AS d ON d.id = p.id
                WHERE p.north >= ? AND p.south <= ? AND p.east >= ? AND p.west <= ? AND (? IS NULL OR d.kind = ?)
                AND (? = '' OR d.id IN (SELECT rowid FROM texts WHERE texts MATCH ?))
                """,
                (*box, kind, kind, expression, expression or '""'),
            )
        ]
        near = {row["id"]: (distance(lat, lon, row["lat"], row["lon"]), row) for row in rows}
        best = sorted(
            (found for found in near.values() if found[0] <= metres),
            key=lambda found: (-1.0 if found[1]["score"] is None else found[1]["score"], -found[0]),
            reverse=True,
        )
        return [_found(row, metres=away) for away, row in best[:limit]]


def match_expression(words: str) -> str:
    """Return an FTS5 expression for words as a person types them; empty when there is nothing to look for.

    Each word is quoted, so that no character of it is taken for FTS5's syntax.
    """
    quoted = ['"' + word.replace('"', '""') + '"' for word in words.replace("\0", " ").split()]
    return " ".join(quoted) + "*" if quoted else ""


def _found(row: Row, *, metres: float | None = None) -> Found:
    return Found(
        entity=row["entity"],
        kind=row["kind"],
        name=row["name"],
        text=row["text"],
        lat=row["lat"],
        lon=row["lon"],
        score=row["score"],
        fields=msgspec.json.decode(row["fields"]),
        metres=metres,
        relevance=row.get("relevance"),
    )
