"""A store that is paused or away has its topics paused; the others go on, and nothing is lost."""

import os
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.kafka.lag import LagMeter
from schemas.events import Event, MessageSent
from schemas.writes import StoreName
from streams.app import group_of
from streams.cli import sinks

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

START = datetime.now(UTC) - timedelta(hours=1)


def messages(count: int, *, first: int = 0) -> Sequence[Event]:
    return [
        MessageSent(
            event_id=f"m{number}",
            user_id=f"u{number % 50}",
            occurred_at=START + timedelta(seconds=number),
            conversation_id=f"c{number % 50}",
            role="user",
            text=f"message {number}",
        )
        for number in range(first, first + count)
    ]


def lag_of(pipeline: Any, store: StoreName) -> int:
    meter = LagMeter(pipeline.options.kafka.connection(), group_of("deliver", pipeline.options))
    try:
        return meter.progress([pipeline.catalogue.writes(store).name])[pipeline.catalogue.writes(store).name].lag
    finally:
        meter.close()


@pytest.fixture
def say(pipeline: Any) -> Callable[..., None]:
    """Give a command to the stores of the pipeline."""
    kafka = pipeline.options.kafka
    environ = {"TRAVELOS_KAFKA_BOOTSTRAP": kafka.bootstrap, "TRAVELOS_KAFKA_TOPIC_PREFIX": kafka.topic_prefix}

    def said(*arguments: str) -> None:
        result = CliRunner().invoke(sinks.app, list(arguments), env=environ)
        assert result.exit_code == 0, result.output

    return said


def test_a_paused_store_gets_nothing_over_restarts_until_it_is_resumed(pipeline: Any, say: Callable[..., None]) -> None:
    pipeline.start("ingest", "ingest")
    deliver = pipeline.start("deliver", "deliver")
    pipeline.publish(messages(1_000))
    pipeline.settle()
    say("pause", "warehouse", "--why", "upgrade")
    pipeline.wait_for(lambda: "delivery_paused" in deliver.log_file.read_text(), "the worker has heard of it")
    pipeline.publish(messages(2_000, first=1_000))
    others: list[StoreName] = ["vector", "relational"]
    pipeline.wait_for(
        lambda: pipeline.lag("ingest") == 0 and all(lag_of(pipeline, store) == 0 for store in others),
        "the other stores go on",
    )
    assert rows(pipeline) == 1_000
    for number in (signal.SIGKILL, signal.SIGTERM):
        os.kill(deliver.pid, number)
        pipeline.wait_for(lambda: deliver.pid is None, "the worker has ended")
        deliver.start()
        pipeline.publish(messages(1, first=10_000 + number))
        pipeline.wait_for(lambda: pipeline.lag("ingest") == 0 and lag_of(pipeline, "vector") == 0, "it works again")
        assert rows(pipeline) == 1_000
    assert lag_of(pipeline, "warehouse") == 2_002
    say("resume", "warehouse")
    pipeline.settle()
    assert rows(pipeline) == 3_002
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report


@pytest.mark.parametrize("pipeline", [{"deliver.breaker_seconds": 2}], indirect=True)
def test_a_store_that_is_away_is_drained_when_it_is_back_and_a_rebalance_meanwhile_loses_nothing(
    pipeline: Any, postgres_server: Any
) -> None:
    pipeline.start("ingest", "ingest")
    one = pipeline.start("deliver", "deliver-one")
    pipeline.publish(messages(500))
    pipeline.settle()
    postgres_server.kill()
    try:
        pipeline.publish(messages(3_000, first=500))
        pipeline.wait_for(lambda: "store_unavailable" in one.log_file.read_text(), "the store is away")
        pipeline.wait_for(lambda: lag_of(pipeline, "warehouse") == 0 and pipeline.lag("ingest") == 0, "others go on")
        two = pipeline.start("deliver", "deliver-two")
        pipeline.wait_for(lambda: "store_unavailable" in two.log_file.read_text(), "partitions have changed hands")
        assert lag_of(pipeline, "relational") > 0
    finally:
        postgres_server.start()
    pipeline.settle()
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report


def rows(pipeline: Any) -> int:
    """Return how many rows of history there are."""
    with pipeline.readers().warehouse() as reader:
        return reader.query("SELECT count(*) AS n FROM events")[0]["n"]
