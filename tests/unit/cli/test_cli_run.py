"""What `travelos run` does around the roles. Kafka is the in-memory cluster, the roles and Postgres are stand-ins."""

import logging
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import streams.platform
from connectors.kafka.admin import ensure_topics
from deploy.local.kafka import KafkaServer, MemoryKafka
from deploy.local.ports import free_port
from deploy.local.process import ServerFailed
from streams.cli import common, run, worker
from streams.data_folder import DataFolder

SECRET = "hunter" * 2
# Both are named, so no Postgres is started; nobody connects to them here.
DATABASES = {
    "SOURCE_DSN": f"postgresql://u:{SECRET}@127.0.0.1:1/d",
    "STORES_RELATIONAL_URL": f"postgresql://u:{SECRET}@127.0.0.1:1/d",
}

app = typer.Typer()
app.command()(run.command)


class Roles:
    """Stands for the supervisor; `then` is done when it is asked to start or to look after the roles."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.then: dict[str, Callable[[], object]] = {}
        self.roles = [SimpleNamespace(name="ingest")]

    def __call__(self, _: object) -> "Roles":
        return self

    def start(self) -> None:
        self._note("start")

    def check(self) -> None:
        self._note("check")

    def stop(self) -> None:
        self._note("stop")

    def _note(self, what: str) -> None:
        self.log.append(what)
        self.then.get(what, lambda: None)()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    monkeypatch.setattr(run, "CHECK_SECONDS", 0.001)
    handlers = logging.root.handlers[:]
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    logging.root.handlers[:] = handlers
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def roles(monkeypatch: pytest.MonkeyPatch) -> Roles:
    stand_in = Roles()
    monkeypatch.setattr(run, "Supervisor", stand_in)
    return stand_in


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> list[MemoryKafka]:
    """The clusters that were started."""
    started: list[MemoryKafka] = []

    class Noted(MemoryKafka):
        def start(self, timeout: float = 10) -> None:
            super().start(timeout)
            started.append(self)

    monkeypatch.setattr(streams.platform, "MemoryKafka", Noted)
    return started


def invoke(*arguments: str, **environ: str) -> Result:
    variables = {f"TRAVELOS_{name}": value for name, value in {**DATABASES, **environ}.items()}
    return CliRunner().invoke(app, list(arguments), env=variables)


def data_folder_is_free() -> bool:
    folder = DataFolder(Path("travelos-data"))
    folder.claim()
    folder.release()
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_looks_after_the_roles_until_it_is_told_to_stop_and_then_stops_everything_with_0(
    number: signal.Signals, roles: Roles, kafka: list[MemoryKafka]
) -> None:
    roles.then["check"] = lambda: signal.raise_signal(number) if roles.log.count("check") == 3 else None
    result = invoke("--kafka", "memory")
    assert (result.exit_code, result.stdout) == (0, "")
    assert roles.log == ["start", "check", "check", "check", "stop"]
    assert [one.bootstrap for one in kafka] == [""]  # stopped
    assert data_folder_is_free()
    assert number.name in result.stderr
    assert SECRET not in result.output


def test_a_signal_while_things_start_is_not_lost(roles: Roles, kafka: list[MemoryKafka]) -> None:
    roles.then["start"] = lambda: signal.raise_signal(signal.SIGTERM)
    assert invoke("--kafka", "memory").exit_code == 0
    assert roles.log == ["start", "stop"]
    assert [one.bootstrap for one in kafka] == [""]


def test_roles_that_cannot_be_started_end_it_with_1_and_nothing_is_left_running(
    roles: Roles, kafka: list[MemoryKafka]
) -> None:
    def fail() -> None:
        raise ServerFailed("ingest cannot be started: no such program")

    roles.then["start"] = fail
    result = invoke("--kafka", "memory")
    assert result.exit_code == 1
    assert "error: ingest cannot be started: no such program\n" in result.stderr
    assert roles.log == ["start", "stop"]
    assert [one.bootstrap for one in kafka] == [""]
    assert data_folder_is_free()


def test_a_server_that_does_not_come_up_ends_it_with_1_before_any_role_starts(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ServerFailed("the in-memory Kafka cluster did not answer")

    monkeypatch.setattr(MemoryKafka, "start", fail)
    result = invoke("--kafka", "memory")
    assert (result.exit_code, result.stdout, roles.log) == (1, "", [])
    assert "error: the in-memory Kafka cluster did not answer\n" in result.stderr
    assert data_folder_is_free()


def test_two_pipelines_do_not_work_in_one_data_folder(roles: Roles) -> None:
    other = DataFolder(Path("travelos-data"))
    other.claim()
    try:
        result = invoke("--kafka", "memory")
    finally:
        other.release()
    assert (result.exit_code, roles.log) == (1, [])
    assert f"works in {Path.cwd() / 'travelos-data'}; stop it, or set another data_dir" in result.stderr


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_broker_that_does_not_answer_ends_it_with_1_and_one_line_without_the_password(
    protocol: str, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ensure_topics", partial(ensure_topics, timeout=0.1))
    address = f"127.0.0.1:{free_port()}"
    login = {"KAFKA_SECURITY_PROTOCOL": protocol, "KAFKA_USERNAME": "writer", "KAFKA_PASSWORD": SECRET}
    result = invoke("--kafka", address, LOG_LEVEL="error", **login)
    assert (result.exit_code, result.stdout, roles.log) == (1, "", [])
    assert result.stderr.startswith(f"error: kafka.bootstrap {address} does not answer: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output


@pytest.mark.parametrize("choice", ["nonsense", "", "Memory"])
def test_a_kafka_that_there_is_not_ends_with_2_and_those_there_are_before_anything_is_made(choice: str) -> None:
    result = invoke("--kafka", choice)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: --kafka must be auto, real, memory or HOST:PORT, got {choice!r}\n"
    assert list(Path.cwd().iterdir()) == []


def test_a_real_kafka_where_none_can_be_started_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaServer, "available", staticmethod(lambda: False))
    result = invoke("--kafka", "real")  # there is no compose file in this folder
    assert result.exit_code == 2
    assert "--kafka real needs `java` and `mvn`, or Docker" in result.stderr


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"KAFKA_PARTITIONS": "0"}, "`kafka.partitions`"),
        ({"KAFKA_BOTSTRAP": "a:1"}, "did you mean `TRAVELOS_KAFKA_BOOTSTRAP`?"),
        ({"CONFIG": "absent.toml"}, "absent.toml cannot be read"),
    ],
)
def test_options_that_cannot_be_used_end_with_2_and_a_line_that_names_them(environ: dict[str, Any], said: str) -> None:
    result = invoke("--kafka", "memory", **environ)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize("arguments", [("--colour",), ("ingest",), ("--kafka",)])
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2
