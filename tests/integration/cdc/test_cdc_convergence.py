"""The short form of `make chaos-cdc`: everything is killed, and the topics say in the end what the tables hold."""

from pathlib import Path

import pytest

from bench.cdc.convergence.trial import Size, trial
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]


def test_tables_rebuilt_from_the_topics_equal_those_in_postgres_whatever_is_killed(
    postgres: PostgresServer, broker: KafkaServer, tmp_path: Path
) -> None:
    size = Size(statements=30_000, kafka_seconds=(4.0, 6.0), postgres_steps=12_000)
    outcome = trial(postgres, broker, tmp_path, 5, size)
    assert outcome.differences == []
    assert outcome.contradictions == []
    assert outcome.ends == []
    assert min(outcome.kills, outcome.kafka_restarts, outcome.postgres_restarts) >= 1
    assert outcome.records > 10_000
