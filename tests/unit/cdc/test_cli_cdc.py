import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.cdc.signal_topic import SignalTopic
from connectors.cdc.signals import Condition, SignalData, data_of
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port
from schemas.topics import Catalogue
from streams.cli.cdc import app, cdc_config
from streams.settings import load


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={f"TRAVELOS_{name}": value for name, value in environ.items()})


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_without_a_database_nothing_is_done(command: str) -> None:
    result = run(command, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert result.exit_code == 2
    assert "source.dsn (TRAVELOS_SOURCE_DSN)" in result.stderr


@pytest.mark.parametrize("command", ["run", "status"])
def test_without_brokers_nothing_is_done(command: str) -> None:
    result = run(command, SOURCE_DSN="postgresql://u@h/d")
    assert result.exit_code == 2
    assert "kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)" in result.stderr


def test_a_server_that_does_not_answer_fails_the_check_without_its_password() -> None:
    result = run("check", "--json", SOURCE_DSN=f"postgresql://u:secret@127.0.0.1:{free_port()}/d")
    assert result.exit_code == 1
    [finding] = json.loads(result.stdout)
    assert (finding["level"], finding["option"]) == ("error", "source.dsn")
    assert "secret" not in result.output


def test_a_signal_without_brokers_or_without_a_table_is_not_sent() -> None:
    result = run("signal", "pause-snapshot")
    assert (result.exit_code, "kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)" in result.stderr) == (2, True)
    result = run("signal", "execute-snapshot", KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, "no table is named: add --table" in result.stderr) == (2, True)
    assert run("signal", "dance", KAFKA_BOOTSTRAP="127.0.0.1:1").exit_code == 2


def test_a_signal_arrives_as_debezium_writes_it() -> None:
    cluster = MemoryKafka()
    cluster.start()
    try:
        connection = Connection(bootstrap=cluster.bootstrap)
        topic = Catalogue(prefix="blue.").cdc_signals
        ensure_topics(connection, [topic])
        with SignalTopic(connection, topic.name, "cdc.travel", {}) as signals:
            result = run(
                *("signal", "execute-snapshot", "--table", "public.places", "--where", "area = 'north'"),
                KAFKA_BOOTSTRAP=cluster.bootstrap,
                KAFKA_TOPIC_PREFIX="blue.",
            )
            assert result.exit_code == 0, result.stderr
            while (found := signals.next()) is None:
                time.sleep(0.02)  # between two looks; what was sent arrives
    finally:
        cluster.stop()
    assert found.type == "execute-snapshot"
    assert data_of(found) == SignalData(
        data_collections=("public.places",), additional_conditions=(Condition("public.places", "area = 'north'"),)
    )


def test_names_come_from_the_catalogue() -> None:
    environ = {
        "TRAVELOS_KAFKA_TOPIC_PREFIX": "blue.",
        "TRAVELOS_SOURCE_TABLES": "public.a",
        "TRAVELOS_SOURCE_DSN": "postgresql://u:secret@h/d",
        "TRAVELOS_SOURCE_SNAPSHOT": "when_needed",
        "TRAVELOS_SOURCE_HEARTBEAT_SECONDS": "2.5",
    }
    config = cdc_config(load(environ=environ).options)
    catalogue = Catalogue(prefix="blue.", tables=["public.a"])
    assert config.topics == catalogue.changes
    assert (config.offsets, config.name, config.snapshot) == (catalogue.cdc_offsets, "cdc.travel", "when_needed")
    assert config.heartbeat_seconds == 2.5
    assert "secret" not in repr(config)
