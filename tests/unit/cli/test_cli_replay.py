"""Where a role reads, set at the command line; on librdkafka's in-memory cluster, a real broker is in integration."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import typer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from connectors.kafka.seek import GroupActive, Start
from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port
from schemas.clock import milliseconds
from schemas.topics import Catalogue
from schemas.writes import STORES
from streams.cli import common, replay

CATALOGUE = Catalogue()
LANES = [CATALOGUE.writes("search").name, CATALOGUE.writes("search", "urgent").name]
SEARCH = [*LANES, CATALOGUE.deferred("search").name, CATALOGUE.compensations("search").name]
NOWHERE = "127.0.0.1:1"
RECORDS = 5
SECRET = "hunter" * 2

app = typer.Typer()
app.command()(replay.command)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture
def brokers() -> Iterator[str]:
    """A cluster with some writes in the first partition of the search store's topic."""
    kafka = MemoryKafka()
    kafka.start()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for topic in CATALOGUE:
        admin.list_topics(topic.name)  # which is how a topic is created on this cluster
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    for number in range(RECORDS):
        producer.produce(SEARCH[0], str(number), partition=0)
    assert producer.flush(10) == 0
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def run(*arguments: str, brokers: str = "", **environ: str) -> Result:
    variables = {f"TRAVELOS_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(app, list(arguments), env={**variables, "TRAVELOS_KAFKA_BOOTSTRAP": brokers})


def rows(*arguments: str, brokers: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json", brokers=brokers)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def moved(start: str, brokers: str, *more: str) -> tuple[int | None, int]:
    """Set the deliver role to `start` and return what was and what is committed where the records are."""
    found = rows("deliver", "--from", start, "--store", "search", *more, brokers=brokers)
    (one,) = [row for row in found if (row["topic"], row["partition"]) == (SEARCH[0], 0)]
    return one["from"], one["to"]


def test_a_store_is_set_to_an_edge_or_an_offset_of_its_topics_and_the_next_time_starts_there(brokers: str) -> None:
    assert moved("end", brokers) == (None, RECORDS)
    assert moved("beginning", brokers) == (RECORDS, 0)
    assert moved("3", brokers) == (0, 3)
    assert moved("99999999999999999999", brokers) == (3, RECORDS)


def test_a_dry_run_says_the_same_and_sets_nothing(brokers: str) -> None:
    assert moved("2", brokers, "--dry-run") == (None, 2)
    assert moved("2", brokers) == (None, 2)


def test_only_the_topics_of_the_named_stores_are_touched_both_lanes_of_them(brokers: str) -> None:
    touched = {row["topic"] for row in rows("deliver", "--from", "end", "--store", "search", brokers=brokers)}
    assert touched == set(SEARCH)
    stores = ["--store", "search", "--store", "graph"]
    found = rows("deliver", "--from", "end", "--dry-run", *stores, "--topic", SEARCH[1], brokers=brokers)
    assert {row["topic"] for row in found} == {SEARCH[1]}


def test_a_store_is_named_by_sink_without_its_role(brokers: str) -> None:
    found = rows("--sink", "search", "--from", "end", brokers=brokers)
    assert {row["topic"] for row in found} == set(SEARCH)
    assert sum(row["to"] for row in found) == RECORDS


def test_the_ingest_role_reads_events_and_changes_and_has_offsets_of_its_own(brokers: str) -> None:
    assert moved("end", brokers) == (None, RECORDS)
    found = rows("ingest", "--from", "beginning", brokers=brokers)
    events = (CATALOGUE.user_events, CATALOGUE.gps_events, CATALOGUE.urgent_events)
    sources = (*events, *CATALOGUE.changes.values(), CATALOGUE.claims)
    assert {row["topic"] for row in found} == {one.name for one in sources}
    assert {row["from"] for row in found} == {None}
    assert len(found) == len(sources) * MemoryKafka.partitions


def test_people_get_a_table_with_every_partition(brokers: str) -> None:
    result = run("deliver", "--from", "end", "--topic", SEARCH[0], brokers=brokers)
    assert result.exit_code == 0
    assert result.stdout.count(SEARCH[0]) == MemoryKafka.partitions


@pytest.mark.parametrize("start", ["nonsense", "", "-5", "1.5", "yesterday", "2026-13-01", "Beginning"])
def test_a_start_that_there_is_not_ends_with_2_before_a_broker_is_asked(start: str) -> None:
    result = run("ingest", "--from", start, brokers=NOWHERE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--from must be beginning, end, a time such as 2026-01-31T08:00Z, or an offset, got {start!r}" in (
        result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deliver", "--store", "serach"], f"--sink and --store must be one of {', '.join(STORES)}, got 'serach'"),
        (["--sink", "serach"], f"--sink and --store must be one of {', '.join(STORES)}, got 'serach'"),
        (["ingest", "--store", "search"], "--sink and --store are for the role deliver"),
        ([], "name the role, ingest, deliver or sagas, or a store with --sink"),
        (["ingest", "--topic", SEARCH[0]], f"ingest does not read {SEARCH[0]}; it reads {CATALOGUE.user_events.name}"),
        (["deliver", "--store", "graph", "--topic", SEARCH[0]], f"deliver does not read {SEARCH[0]}"),
    ],
)
def test_what_the_role_does_not_read_is_refused_and_named(arguments: list[str], said: str) -> None:
    result = run(*arguments, "--from", "beginning", brokers=NOWHERE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    "arguments", [("cook", "--from", "end"), ("ingest",), (), ("--sink", "search"), ("ingest", "--from", "end", "--al")]
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, brokers=NOWHERE)
    assert (result.exit_code, result.stdout) == (2, "")


def test_without_brokers_the_option_is_named() -> None:
    result = run("ingest", "--from", "end")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)" in result.stderr


def test_a_file_of_options_that_is_not_there_ends_with_2() -> None:
    result = run("ingest", "--from", "end", "--config", "absent.toml")
    assert result.exit_code == 2
    assert "absent.toml cannot be read" in result.stderr


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_broker_that_does_not_answer_is_one_line_without_the_password(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.kafka.seek.TIMEOUT_SECONDS", 0.1)
    login = {"KAFKA_SECURITY_PROTOCOL": protocol, "KAFKA_USERNAME": "reader", "KAFKA_PASSWORD": SECRET}
    address = f"127.0.0.1:{free_port()}"
    result = run("ingest", "--from", "end", brokers=address, **login)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: kafka.bootstrap {address}: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output


def test_a_role_that_is_running_ends_with_1_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GroupActive("the group travelos-ingest has members: stop its workers first")

    monkeypatch.setattr(replay, "seek_group", refuse)  # the in-memory cluster lets anybody commit
    result = run("ingest", "--from", "end", brokers=NOWHERE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: the group travelos-ingest has members: stop its workers first\n"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replay, "seek_group", interrupt)
    result = run("ingest", "--from", "end", brokers=NOWHERE)
    assert (result.exit_code, result.output) == (130, "")


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - a zone is drawn
def test_a_time_is_taken_in_its_zone_and_without_one_as_utc(moment: datetime, minutes: int) -> None:
    as_utc = max(0, milliseconds(moment.replace(tzinfo=UTC)))
    assert replay.parse_start(moment.isoformat()) == Start(time_ms=as_utc)
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert replay.parse_start(zoned.isoformat()) == Start(time_ms=max(0, milliseconds(zoned)))


def test_a_time_before_1970_is_the_first_record_and_not_an_edge_that_kafka_codes_as_a_negative_number() -> None:
    assert replay.parse_start("1969-12-31T23:59:59.998Z") == Start(time_ms=0)
