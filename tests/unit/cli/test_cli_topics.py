"""On librdkafka's in-memory cluster, which needs nothing; a real broker is in tests/integration."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port
from schemas.topics import Catalogue
from streams.cli.topics import app


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def brokers() -> Iterator[str]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environ)


def test_list_prints_the_catalogue_without_a_cluster() -> None:
    rows = json.loads(run("list", "--json", TRAVELOS_KAFKA_TOPIC_PREFIX="blue.").stdout)
    assert [row["topic"] for row in rows] == [topic.name for topic in Catalogue(prefix="blue.")]
    assert rows[0]["config"]["cleanup.policy"] == "delete"
    assert "user-events" in run("list").stdout


def test_apply_creates_what_check_then_finds(brokers: str) -> None:
    assert run("check", "--bootstrap", brokers).exit_code == 1
    result = run("apply", "--bootstrap", brokers, "--json")
    assert result.exit_code == 0
    assert [row["action"] for row in json.loads(result.stdout)] == ["create"] * len(list(Catalogue()))
    result = run("check", TRAVELOS_KAFKA_BOOTSTRAP=brokers)
    assert (result.exit_code, result.stdout) == (0, "all topics are as the catalogue says\n")
    assert json.loads(run("apply", "--bootstrap", brokers, "--json").stdout) == []


def test_a_dry_run_changes_nothing(brokers: str) -> None:
    result = run("apply", "--dry-run", "--bootstrap", brokers)
    assert result.exit_code == 0
    assert "user-events" in result.stdout
    assert run("check", "--bootstrap", brokers).exit_code == 1


def test_another_number_of_partitions_ends_with_1(brokers: str) -> None:
    assert run("apply", "--bootstrap", brokers).exit_code == 0
    result = run("apply", "--bootstrap", brokers, "--json", TRAVELOS_KAFKA_PARTITIONS="8")
    assert result.exit_code == 1
    assert {row["action"] for row in json.loads(result.stdout)} == {"mismatch"}


def test_other_partitions_than_were_asked_for_end_with_1(brokers: str) -> None:
    result = run("apply", "--bootstrap", brokers, "--json", TRAVELOS_KAFKA_PARTITIONS="8")
    assert result.exit_code == 1
    assert {row["action"] for row in json.loads(result.stdout)} == {"create", "mismatch"}


@pytest.mark.parametrize("command", ["apply", "check"])
def test_without_brokers_the_option_is_named(command: str) -> None:
    result = run(command)
    assert result.exit_code == 2
    assert "TRAVELOS_KAFKA_BOOTSTRAP" in result.stderr


def test_a_cluster_that_does_not_answer_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.cli.topics.TIMEOUT_SECONDS", 0.5)
    result = run("check", "--bootstrap", f"127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
