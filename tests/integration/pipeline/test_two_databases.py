"""Two databases of one Postgres server that say something of the same rows: captured, settled, and in the stores."""

from collections import Counter
from typing import Any

import psycopg
import pytest

from connectors.kafka.reading import read_topics
from connectors.sinks.errors import Unavailable
from deploy.local.postgres import PostgresServer
from schemas.conflicts import ConflictEntry, decode_conflict_record
from streams.demo.database import create_tables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

OURS, THEIRS = "cdc.travel", "cdc.crm"
OPTIONS: dict[str, Any] = {
    "conflicts.sources": [THEIRS],
    "conflicts.regions": [f"{OURS}=us", f"{THEIRS}=eu"],
    "conflicts.window_seconds": 3_600,  # of rows that are new in both, however slow the machine is
    "conflicts.types.place.strategy": "last_write_wins",
    "conflicts.types.place.ignored": ["updated_at"],
    "conflicts.types.user.strategy": "regional_priority",
    "conflicts.types.user.priority": ["eu", "us"],
    "conflicts.types.user.ignored": ["updated_at"],
}


class Databases:
    """Ours and theirs, each with a source of its own."""

    def __init__(self, pipeline: Any, server: PostgresServer) -> None:
        self._pipeline = pipeline
        self._dsns = {OURS: pipeline.options.source.dsn.get_secret_value()}
        theirs = f"{pipeline.options.source.slot}_crm"
        server.create_database(theirs)
        self._dsns[THEIRS] = server.dsn(theirs)
        for dsn in self._dsns.values():
            create_tables(dsn)
        pipeline.start("cdc", "ours")
        pipeline.start(
            "cdc",
            "theirs",
            TRAVELOS_SOURCE_TOPIC_PREFIX=THEIRS,
            TRAVELOS_SOURCE_DSN=self._dsns[THEIRS],
            TRAVELOS_SOURCE_SLOT=theirs,
            TRAVELOS_SOURCE_PUBLICATION=theirs,
        )

    def run(self, source: str, statement: str) -> None:
        """Run a statement in a transaction of its own, and wait until all that follows from it is in the stores."""
        changes = [self._pipeline.catalogue.changes_of(f"public.{table}", source) for table in ("places", "users")]
        before = self._count(changes)
        with psycopg.connect(self._dsns[source]) as connection:
            connection.execute(statement.encode())
        self._pipeline.wait_for(lambda: self._count(changes) > before, f"{source} tells of: {statement}")
        self._pipeline.settle()

    def _count(self, topics: list[Any]) -> int:
        return len(read_topics(self._pipeline.options.kafka.connection(), [topic.name for topic in topics]))


def place(pipeline: Any) -> list[Any]:
    """Return what stores hold of the place: its phone in search, its name there and in the graph."""
    readers = pipeline.readers()
    try:
        with readers.search() as search, readers.graph() as graph:
            (document,) = search.query("SELECT name, fields ->> 'phone' AS phone FROM documents")
            (node,) = graph.query("SELECT properties ->> 'name' AS name FROM nodes WHERE label = 'Place'")
    except Unavailable:
        return []
    return [document["phone"], document["name"], node["name"]]


def traveller(pipeline: Any) -> str:
    with pipeline.readers().graph() as reader:
        (node,) = reader.query("SELECT properties ->> 'name' AS name FROM nodes WHERE label = 'User'")
    return node["name"]


def written(pipeline: Any) -> int:
    """Return how often search was told of the place."""
    return len(read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.writes("search").name]))


def told(pipeline: Any) -> list[ConflictEntry]:
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.conflicts.name])
    return [decode_conflict_record(record.value, ConflictEntry) for record in records if record.value]


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", [OPTIONS], indirect=True)
def test_rows_of_two_databases_are_told_apart_by_source_echoes_go_no_further_and_conflicts_are_settled(
    pipeline: Any, postgres_server: PostgresServer
) -> None:
    databases = Databases(pipeline, postgres_server)
    pipeline.start("ingest", "ingest")
    pipeline.start("deliver", "deliver")
    insert = "INSERT INTO places (id, name, kind, phone) VALUES ('p1', 'Roma', 'hotel', '1')"
    databases.run(OURS, insert)
    assert place(pipeline) == ["1", "Roma", "Roma"]

    # What the other database says later is the same: an echo, though its version is another.
    databases.run(THEIRS, insert)
    assert (written(pipeline), told(pipeline)) == (1, [])

    # It held what is agreed, and changes that: no conflict. The way back is an echo again.
    databases.run(THEIRS, "UPDATE places SET name = 'Nuova Roma'")
    databases.run(OURS, "UPDATE places SET name = 'Nuova Roma'")
    assert place(pipeline) == ["1", "Nuova Roma", "Nuova Roma"]
    assert (written(pipeline), told(pipeline)) == (2, [])

    # Ours changes the phone, theirs something else beside it: the later one holds, both sides are told.
    databases.run(OURS, "UPDATE places SET phone = '2'")
    databases.run(THEIRS, "UPDATE places SET name = 'Vecchia Roma'")
    assert place(pipeline) == ["1", "Vecchia Roma", "Vecchia Roma"]
    (entry,) = told(pipeline)
    assert (entry.entity, entry.status, entry.strategy) == ("place:p1", "settled", "last_write_wins")
    assert {side.source: (side.content or {})["phone"] for side in entry.sides} == {OURS: "2", THEIRS: "1"}

    # Rows that are new in both: by its region one of them holds, whichever comes first.
    databases.run(THEIRS, "INSERT INTO users (id, name) VALUES ('u1', 'Anna')")
    databases.run(OURS, "INSERT INTO users (id, name) VALUES ('u1', 'Ann')")
    assert traveller(pipeline) == "Anna"
    assert {one.entity for one in told(pipeline)} == {"place:p1", "user:u1"}

    # A row that is gone in both is gone once.
    databases.run(OURS, "DELETE FROM places")
    deleted = written(pipeline)
    databases.run(THEIRS, "DELETE FROM places")
    with pipeline.readers().search() as reader:
        assert reader.query("SELECT 1 FROM documents") == []
    with pipeline.readers().warehouse() as reader:
        rows = reader.query("SELECT source FROM changes")
    assert Counter(row["source"] for row in rows) == {OURS: 5, THEIRS: 5}
    assert written(pipeline) == deleted
    assert pipeline.letters() == []
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report
