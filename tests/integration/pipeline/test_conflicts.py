"""Two sources that change the same entities at once, on real Kafka and embedded stores."""

import json
import os
import signal
import time
from collections import defaultdict
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.sinks.errors import Unavailable
from streams.cli import conflicts
from streams.cli.newest import conflicts_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

OURS, THEIRS = "cdc.travel", "cdc.crm"
PLACES, ROUNDS = 40, 10


def change(source: str, table: str, version: int, row: dict[str, Any], at_ms: int) -> bytes:
    told = {"version": "3.4", "connector": "postgresql", "name": source, "db": "d", "schema": "public", "table": table}
    value = {"op": "u", "before": None, "after": row, "source": {**told, "ts_ms": at_ms, "lsn": version}}
    return json.dumps(value).encode()


def say(pipeline: Any, producer: Any, source: str, table: str, version: int, row: dict[str, Any], at_ms: int) -> None:
    topic = pipeline.catalogue.changes_of(f"public.{table}", source)
    producer.publish_raw(topic.name, json.dumps({"id": row["id"]}).encode(), change(source, table, version, row, at_ms))


def names(reader: Any, statement: str) -> dict[str, str]:
    """Return what a store calls each entity; nothing before it has any."""
    try:
        with reader as opened:
            return {row["entity"]: row["name"] for row in opened.query(statement)}
    except Unavailable:
        return {}


def called(pipeline: Any) -> list[dict[str, str]]:
    """Return what the stores call each place."""
    readers = pipeline.readers()
    return [
        names(readers.search(), "SELECT entity, name FROM documents"),
        names(readers.graph(), "SELECT entity, properties ->> 'name' AS name FROM nodes WHERE label = 'Place'"),
        names(readers.vector(), "SELECT entity, metadata ->> 'place' AS name FROM documents"),
    ]


@pytest.mark.parametrize(
    "pipeline",
    [{"conflicts.sources": [THEIRS], "conflicts.types.place.strategy": "last_write_wins"}],
    indirect=True,
)
def test_all_stores_hold_what_was_agreed_though_the_worker_was_killed_in_the_middle(pipeline: Any) -> None:
    ingest, began = pipeline.start("ingest", "ingest"), time.time_ns() // 1_000_000
    pipeline.start("deliver", "deliver")
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    with pipeline.producer() as producer:
        for turn in range(ROUNDS):
            for number in range(PLACES):
                for source in (OURS, THEIRS) if (turn + number) % 2 else (THEIRS, OURS):
                    at_ms = began + 2 * turn + ((number % 3 == 0) == (source == OURS))
                    row = {"id": f"p{number}", "name": f"{source} {turn}", "kind": "hotel"}
                    say(pipeline, producer, source, "places", turn + 1, row, at_ms)
                    said[f"place:p{number}"].append((at_ms, row["name"]))
            if turn == ROUNDS // 2:
                producer.flush()
                pipeline.wait_for(lambda: called(pipeline)[0], "something has arrived")
                os.kill(ingest.pid, signal.SIGKILL)
                pipeline.wait_for(lambda: ingest.pid is None, "it is dead")
                ingest.start()
    pipeline.settle()
    assert pipeline.letters() == []
    assert called(pipeline) == [{entity: max(claims)[1] for entity, claims in said.items()}] * 3
    # Of the records that went in only the stores are compared: changes were published here, and are no events.
    assert [problem for store in pipeline.verdict().report.stores for problem in store.problems] == []


@pytest.mark.parametrize(
    "pipeline",
    [{"conflicts.sources": [THEIRS], "conflicts.types.place.strategy": "manual"}],
    indirect=True,
)
def test_what_an_operator_decides_is_what_all_stores_hold(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.start("ingest", "ingest")
    pipeline.start("deliver", "deliver")
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    now = time.time_ns() // 1_000_000
    with pipeline.producer() as producer:
        say(pipeline, producer, OURS, "places", 5, {"id": "p1", "name": "Roma", "kind": "hotel"}, now)
    pipeline.wait_for(lambda: called(pipeline) == [{"place:p1": "Roma"}] * 3, "it is everywhere")
    with pipeline.producer() as producer:
        say(pipeline, producer, THEIRS, "places", 9, {"id": "p1", "name": "Napoli", "kind": "hotel"}, now)
    pipeline.wait_for(lambda: conflicts_of(pipeline.options).look(), "somebody has to decide")
    assert called(pipeline) == [{"place:p1": "Roma"}] * 3
    arguments = ["resolve", "place:p1", "--take", THEIRS, "--why", "it was sold"]
    result = CliRunner().invoke(conflicts.app, arguments)
    assert result.exit_code == 0, result.output
    pipeline.wait_for(lambda: called(pipeline) == [{"place:p1": "Napoli"}] * 3, "it is what holds")
    (entry,) = conflicts_of(pipeline.options).look().values()
    assert entry.verdict is not None
    assert (entry.status, entry.verdict.why) == ("decided", "it was sold")
