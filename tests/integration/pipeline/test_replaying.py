"""A store is rebuilt from its topics, and replaying them over what is there changes nothing."""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from schemas.events import Event, MessageSent, PreferenceStated, TripStarted
from schemas.writes import STORES, StoreName
from streams.cli import replay

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

START = datetime.now(UTC) - timedelta(hours=2)
REPLAYED: tuple[StoreName, ...] = ("graph", "vector", "cache", "warehouse")


def events(count: int) -> list[Event]:
    made: list[Event] = []
    for number in range(count):
        stamp: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 20}",
            "occurred_at": START + timedelta(seconds=number),
        }
        match number % 3:
            case 0:
                made.append(TripStarted(**stamp, trip_id=f"t{number}"))
            case 1:
                made.append(PreferenceStated(**stamp, category="cuisine", value=f"c{number % 7}", strength=0.5))
            case _:
                made.append(MessageSent(**stamp, conversation_id="c", role="user", text=f"message {number}"))
    return made


def set_back(pipeline: Any, *stores: StoreName) -> None:
    app = Typer()
    app.command()(replay.command)
    kafka = pipeline.options.kafka
    environ = {"TRAVELOS_KAFKA_BOOTSTRAP": kafka.bootstrap, "TRAVELOS_KAFKA_TOPIC_PREFIX": kafka.topic_prefix}
    sinks = [part for store in stores for part in ("--sink", store)]
    result = CliRunner().invoke(app, [*sinks, "--from", "beginning"], env=environ)
    assert result.exit_code == 0, result.output


def contents(pipeline: Any) -> dict[str, dict[str, int]]:
    """Return how many rows each table of the stores has."""
    counts: dict[str, dict[str, int]] = {}
    for store in REPLAYED:
        with getattr(pipeline.readers(), store)() as reader:
            counts[store] = reader.counts()
    return counts


def test_a_store_that_is_gone_is_rebuilt_and_a_second_replay_changes_nothing(pipeline: Any) -> None:
    pipeline.start("ingest", "ingest")
    deliver = pipeline.start("deliver", "deliver")
    pipeline.publish(events(1_500))
    pipeline.settle()
    before = contents(pipeline)
    assert all(sum(tables.values()) > 0 for tables in before.values())
    stores = pipeline.options.data_dir / "stores"
    for gone in (True, False):
        deliver.stop()
        if gone:
            for file in stores.glob("*.db*"):
                file.unlink()
            shutil.rmtree(stores / "warehouse")
        set_back(pipeline, *STORES)
        deliver.start()
        pipeline.settle()
        assert contents(pipeline) == before
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report
