# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Time series in SQLite: points of a measurement, by series and time."""

from collections.abc import Iterator, Mapping
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from connectors.sinks.contract import APPLIED, Outcome
from connectors.sinks.persons import delete_of
from connectors.sinks.reader import Row
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.sqlite.recognising import RecognisingSink
from connectors.sinks.sqlite.values import canonical_tags, json_object, json_text
from schemas.persons import USER_ID
from schemas.writes import TimeSeriesWrite

SCHEMA = Schema(
    tag="TOts",
    migrations=(
        """
        -- A series is a measurement with one set of tags, kept as JSON with sorted keys.
        CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            measurement TEXT NOT NULL,
            tags TEXT NOT NULL,
            UNIQUE (measurement, tags)
        ) STRICT;
        CREATE TABLE series_tags (
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            series INTEGER NOT NULL REFERENCES series (id),
            PRIMARY KEY (name, value, series)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE points (
            series INTEGER NOT NULL REFERENCES series (id),
            time_ns INTEGER NOT NULL,
            entity TEXT NOT NULL UNIQUE,
            fields TEXT NOT NULL,
            PRIMARY KEY (series, time_ns)
        ) STRICT, WITHOUT ROWID;
        CREATE VIEW readings AS
            SELECT s.measurement, s.tags, p.time_ns,
                strftime('%Y-%m-%dT%H:%M:%fZ', p.time_ns / 1e9, 'unixepoch') AS time, p.fields
            FROM points AS p JOIN series AS s ON s.id = p.series;
        """,
    ),
)


class TimeSeriesSink(RecognisingSink[TimeSeriesWrite]):
    """Points. A point's identity (measurement, tags, time) and its entity are one to one; anything else is refused."""

    schema = SCHEMA
    kind = TimeSeriesWrite
    entities = "SELECT entity FROM points"

    def copies(self) -> str:
        """An entity is a point."""
        return "(SELECT count(*) FROM points AS p WHERE p.entity = v.entity)"

    def upsert(self, connection: apsw.Connection, write: TimeSeriesWrite) -> Outcome:
        """Store a point."""
        if not write.fields:
            raise Refused("`fields` are empty")
        fields = json_object("fields", write.fields)
        tags = canonical_tags(write.tags)
        connection.execute(
            "INSERT INTO series (measurement, tags) VALUES (?, ?) ON CONFLICT DO NOTHING", (write.measurement, tags)
        )
        if connection.changes():
            connection.execute(
                "INSERT INTO series_tags SELECT key, value, ? FROM json_each(?)", (connection.last_insert_rowid(), tags)
            )
        connection.execute(
            """
            INSERT INTO points (series, time_ns, entity, fields)
            VALUES ((SELECT id FROM series WHERE measurement = ? AND tags = ?), ?, ?, ?)
            ON CONFLICT (entity) DO UPDATE SET
                series = excluded.series, time_ns = excluded.time_ns, fields = excluded.fields
            """,
            (write.measurement, tags, write.time_ns, write.entity, fields),
        )
        return APPLIED

    def content(self, connection: apsw.Connection, write: TimeSeriesWrite) -> dict[str, Any] | None:
        """Return the point."""
        found = connection.execute(
            """
            SELECT s.measurement, s.tags, p.time_ns, p.fields
            FROM points AS p JOIN series AS s ON s.id = p.series WHERE p.entity = ?
            """,
            (write.entity,),
        ).fetchone()
        if found is None:
            return None
        measurement, tags, time_ns, fields = found
        return {
            "measurement": measurement,
            "tags": msgspec.json.decode(tags),
            "time_ns": time_ns,
            "fields": msgspec.json.decode(fields),
        }

    def belonging(self, connection: apsw.Connection, user: str) -> Iterator[TimeSeriesWrite]:
        """Yield the points of the series that are tagged with a person."""
        rows = connection.execute(
            """
            SELECT p.entity, v.source, v.version, s.measurement, s.tags, p.time_ns
            FROM series_tags AS t JOIN series AS s ON s.id = t.series JOIN points AS p ON p.series = s.id
            JOIN versions AS v USING (entity)
            WHERE t.name = ? AND t.value = ?
            """,
            (USER_ID, user),
        )
        for entity, source, version, measurement, tags, time_ns in rows:
            yield delete_of(
                TimeSeriesWrite,
                entity,
                source,
                version,
                measurement=measurement,
                tags=msgspec.json.decode(tags),
                time_ns=time_ns,
            )

    def tidy(self, connection: apsw.Connection) -> None:
        """Remove series without points: their tags may name somebody."""
        connection.execute("DELETE FROM series_tags WHERE series NOT IN (SELECT series FROM points)").fetchall()
        connection.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM points)").fetchall()

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> TimeSeriesWrite:
        """Return the delete of a point."""
        found: Any = connection.execute(
            """
            SELECT s.measurement, s.tags, p.time_ns FROM points AS p JOIN series AS s ON s.id = p.series
            WHERE p.entity = ?
            """,
            (entity,),
        ).fetchone()
        measurement, tags, time_ns = found
        where = {"measurement": measurement, "tags": msgspec.json.decode(tags), "time_ns": time_ns}
        return delete_of(TimeSeriesWrite, entity, source, version, **where)

    def delete(self, connection: apsw.Connection, write: TimeSeriesWrite) -> None:
        """Remove a point."""
        connection.execute("DELETE FROM points WHERE entity = ?", (write.entity,))


class Point(Struct, frozen=True):
    """One point."""

    time_ns: int
    tags: dict[str, str]
    fields: dict[str, Any]


class TimeSeriesReader(SQLiteReader):
    """Questions to the time series."""

    schema = SCHEMA
    tables = ("points", "series")

    def range(
        self,
        measurement: str,
        tags: Mapping[str, str],
        start_ns: int = -(2**63),
        end_ns: int = 2**63 - 1,
        *,
        limit: int = 100_000,
        newest_first: bool = False,
    ) -> list[Point]:
        """Return the points with these tags (and perhaps others) in `start_ns` <= time < `end_ns`, in order of time.

        When there are more than `limit`, the first ones of that order are returned.
        """
        order = "DESC" if newest_first else "ASC"
        rows = self.query(
            f"""
            SELECT p.time_ns, s.tags, p.fields FROM series AS s JOIN points AS p ON p.series = s.id
            WHERE s.measurement = ? AND p.time_ns >= ? AND p.time_ns < ?
            AND (? = 0 OR s.id IN (
                SELECT t.series FROM json_each(?) AS w JOIN series_tags AS t ON t.name = w.key AND t.value = w.value
                GROUP BY t.series HAVING count(*) = ?
            ))
            ORDER BY p.time_ns {order}, s.id LIMIT ?
            """,  # noqa: S608
            (measurement, start_ns, end_ns, len(tags), json_text(tags), len(tags), limit),
        )
        return [_point(row) for row in rows]

    def last(self, measurement: str, tags: Mapping[str, str]) -> Point | None:
        """Return the newest point with these tags, or None."""
        found = self.range(measurement, tags, limit=1, newest_first=True)
        return found[0] if found else None


def _point(row: Row) -> Point:
    return Point(row["time_ns"], msgspec.json.decode(row["tags"]), msgspec.json.decode(row["fields"]))
