"""Checking stores at the command line; the embedded ones are real, a third party's is a stand-in."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from msgspec import Struct
from typer.testing import CliRunner, Result

from connectors.sinks.contract import Held, Limits, Outcome
from connectors.sinks.errors import Fatal
from deploy.local.kafka import MemoryKafka
from schemas.topics import Catalogue
from schemas.writes import STORES
from streams.cli import common, sinks

SECRET = "hunter" * 2
HERE = f"{__name__}:StandInSink"
CATALOGUE = Catalogue()


class StandInOptions(Struct, frozen=True, kw_only=True):
    """Of a store that refuses us.

    Attributes:
        url: with the login in it
        fault: what is wrong with it
    """

    url: str
    fault: str = "refuses"


class StandInSink:
    limits = Limits()

    def __init__(self, options: StandInOptions) -> None:
        self.options = options

    def open(self) -> None:
        if self.options.fault == "raises":
            raise KeyError(self.options.url)
        raise Fatal(f"{self.options.url} refuses us: set stores.cache.url")

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        return []

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {}

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(
        sinks.app, list(arguments), env={f"TRAVELOS_{name}": one for name, one in environ.items()}
    )


def rows(result: Result) -> dict[str, dict[str, Any]]:
    return {row["store"]: row for row in json.loads(result.stdout)}


def test_the_stores_that_are_named_are_checked_and_an_ok_is_exit_code_0() -> None:
    result = run("check", "cache", "graph", "--json")
    assert result.exit_code == 0
    found = rows(result)
    assert list(found) == ["cache", "graph"]
    assert found["cache"]["state"] == "ok"
    assert found["cache"]["kind"] == "embedded"
    assert found["cache"]["round_trip_ms"] >= 0
    assert (Path("travelos-data") / "stores" / "cache.db").is_file()


def test_without_names_all_are_checked_and_one_that_fails_is_exit_code_1_and_costs_the_others_nothing() -> None:
    result = run("check", "--json")
    assert result.exit_code == 1
    found = rows(result)
    assert list(found) == list(STORES)
    assert [store for store, row in found.items() if row["state"] == "failed"] == ["relational"]
    assert "stores.relational.url is not set" in found["relational"]["detail"]
    assert ". travelos-data/travelos.env" in found["relational"]["detail"]


@pytest.mark.parametrize(("fault", "detail"), [("refuses", "refuses us: set stores.cache.url"), ("raises", "KeyError")])
def test_what_a_store_says_is_told_without_the_login_of_an_address(fault: str, detail: str) -> None:
    Path("travelos.toml").write_text(f'[stores.cache]\nkind = "{HERE}"\nfault = "{fault}"')
    result = run("check", "cache", "--json", STORES_CACHE_URL=f"x://app:{SECRET}@cache-1")
    assert result.exit_code == 1
    assert detail in rows(result)["cache"]["detail"]
    assert "cache-1" in result.output
    assert SECRET not in result.output


def test_people_get_a_table() -> None:
    result = run("check", "cache")
    assert result.exit_code == 0
    assert "round_trip_ms" in result.stdout
    assert "embedded" in result.stdout


@pytest.mark.parametrize("arguments", [("check", "cash"), ("check", "--al"), ()])
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.fixture
def brokers() -> Iterator[str]:
    kafka = MemoryKafka()
    kafka.start()
    AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(CATALOGUE.store_controls.name)
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def states(brokers: str) -> dict[str, str]:
    result = run("list", "--json", KAFKA_BOOTSTRAP=brokers)
    assert result.exit_code == 0, result.stderr
    return {store: row["state"] for store, row in rows(result).items()}


def test_what_is_paused_stays_so_until_it_is_resumed_and_it_is_known_who_paused_it_when_and_why(brokers: str) -> None:
    assert set(states(brokers).values()) == {"running"}
    result = run("pause", "graph", "cache", "--why", "upgrade", KAFKA_BOOTSTRAP=brokers)
    assert (result.exit_code, result.stdout) == (0, "graph: paused\ncache: paused\n")
    assert [store for store, state in states(brokers).items() if state == "paused"] == ["graph", "cache"]
    found = rows(run("list", "--json", KAFKA_BOOTSTRAP=brokers))["graph"]
    assert found["why"] == "upgrade"
    assert "@" in found["by"]
    assert datetime.now(UTC) - datetime.fromisoformat(found["since"]) < timedelta(minutes=1)
    assert run("resume", "graph", KAFKA_BOOTSTRAP=brokers).stdout == "graph: resumed\n"
    assert [store for store, state in states(brokers).items() if state == "paused"] == ["cache"]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pausing_wants_the_names_of_stores_and_of_brokers(command: str) -> None:
    assert run(command, KAFKA_BOOTSTRAP="127.0.0.1:1").exit_code == 2
    result = run(command, "cash", KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no store 'cash'" in result.stderr
    assert "kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)" in run(command, "cache").stderr


def test_a_store_that_there_is_not_is_named_with_those_that_there_are() -> None:
    assert f"there is no store 'cash'; there are {', '.join(STORES)}" in run("check", "cash").stderr
