"""What `travelos worker` does before its Faust app runs; the app itself is a stand-in, a real one is in integration."""

import logging
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from connectors.embedders import ModelUnavailable
from connectors.kafka.admin import TopicAdmin, ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port
from schemas.topics import Catalogue
from streams.cli import common, worker
from streams.settings import Options

NOWHERE = "127.0.0.1:1"
SECRET = "hunter" * 2

app = typer.Typer()
app.command()(worker.command)


class Faust:
    """Stands for the app and for Faust's worker; remembers what was built and whether it ran."""

    def __init__(self) -> None:
        self.built: list[tuple[str, Options]] = []
        self.problem: Exception | None = None
        self.ran = 0
        self.code = 0
        self.served: list[socket.socket] = []

    def build(self, role: str, options: Options) -> Any:
        if self.problem is not None:
            raise self.problem
        self.built.append((role, options))
        return SimpleNamespace(state_folder=SimpleNamespace(path=options.data_dir), serve=self.served.append)

    def worker(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(execute_from_commandline=self._execute)

    def loop(self, _: str) -> None: ...

    def _execute(self) -> None:
        self.ran += 1
        raise SystemExit(self.code)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    monkeypatch.setattr(worker, "ensure_topics", partial(ensure_topics, timeout=0.1))
    handlers, switch_seconds = logging.root.handlers[:], sys.getswitchinterval()
    yield
    logging.root.handlers[:] = handlers
    sys.setswitchinterval(switch_seconds)


@pytest.fixture(autouse=True)
def faust(monkeypatch: pytest.MonkeyPatch) -> Faust:
    stand_in = Faust()
    monkeypatch.setattr(worker, "build", stand_in.build)
    monkeypatch.setattr(worker, "faust", SimpleNamespace(Worker=stand_in.worker))
    monkeypatch.setattr(worker.mode.loop, "use", stand_in.loop)  # it would change the event loop of all other tests
    return stand_in


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(worker, "ensure_topics", ensure_topics)
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={f"TRAVELOS_{name}": value for name, value in environ.items()})


@pytest.mark.parametrize("role", ["ingest", "deliver"])
def test_the_topics_are_there_before_the_role_that_was_named_runs(role: str, faust: Faust, brokers: str) -> None:
    result = run(role, "--bootstrap", brokers, KAFKA_BOOTSTRAP=NOWHERE)
    assert result.exit_code == 0, result.output
    ((built, options),) = faust.built
    assert (built, options.kafka.bootstrap, faust.ran) == (role, brokers, 1)
    assert TopicAdmin(Connection(bootstrap=brokers)).plan(Catalogue()) == []


@pytest.mark.parametrize("code", [0, 1, 3])
def test_it_ends_with_the_exit_code_of_fausts_worker(code: int, faust: Faust) -> None:
    faust.code = code
    result = run("ingest", KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false")
    assert (result.exit_code, result.stdout) == (code, "")


def test_threads_of_a_worker_give_way_to_each_other_ten_times_as_soon() -> None:
    sys.setswitchinterval(0.005)
    run("ingest", KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false")
    assert sys.getswitchinterval() == pytest.approx(0.0005)


def test_topics_that_others_create_are_not_asked_for(faust: Faust, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the brokers were asked")

    monkeypatch.setattr(worker, "ensure_topics", never)
    assert run("deliver", KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false").exit_code == 0
    assert faust.ran == 1


def test_topics_with_another_number_of_partitions_end_it_with_1_and_the_fix(faust: Faust, brokers: str) -> None:
    result = run("ingest", KAFKA_BOOTSTRAP=brokers, KAFKA_PARTITIONS="8")
    assert (result.exit_code, faust.built) == (1, [])
    assert "Set kafka.partitions = 4" in result.stderr


@pytest.mark.parametrize("arguments", [("cook",), (), ("ingest", "deliver"), ("ingest", "--json")])
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], faust: Faust) -> None:
    result = run(*arguments, KAFKA_BOOTSTRAP=NOWHERE)
    assert (result.exit_code, result.stdout, faust.built) == (2, "", [])


def test_a_role_that_there_is_not_is_named_with_those_there_are() -> None:
    printed = run("cook", KAFKA_BOOTSTRAP=NOWHERE).stderr
    for word in ("cook", "ingest", "deliver"):
        assert f"'{word}'" in printed


def test_without_brokers_the_option_is_named() -> None:
    result = run("ingest")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP) or give --bootstrap" in result.stderr


def test_an_option_that_cannot_be_used_ends_with_2_and_the_value_of_no_secret() -> None:
    Path("travelos.toml").write_text(f'[kafka]\npassword = ["{SECRET}"]\nbotstrap = "a:1"\n')
    result = run("ingest", KAFKA_BOOTSTRAP=NOWHERE)
    assert result.exit_code == 2
    assert "`kafka.botstrap` in travelos.toml; did you mean `kafka.bootstrap`?" in result.stderr
    Path("travelos.toml").write_text(f'[kafka]\npassword = ["{SECRET}"]\n')
    result = run("ingest", KAFKA_BOOTSTRAP=NOWHERE)
    assert result.exit_code == 2
    assert "`kafka.password`" in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_broker_that_does_not_answer_is_one_line_without_the_password(protocol: str, faust: Faust) -> None:
    address = f"127.0.0.1:{free_port()}"
    login = {"KAFKA_SECURITY_PROTOCOL": protocol, "KAFKA_USERNAME": "writer", "KAFKA_PASSWORD": SECRET}
    result = run("ingest", KAFKA_BOOTSTRAP=address, **login)
    assert (result.exit_code, result.stdout, faust.built) == (1, "", [])
    assert result.stderr.startswith(f"error: kafka.bootstrap {address} does not answer: ")
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.output


@pytest.mark.parametrize("problem", [ModelUnavailable("clip needs a file"), ImportError("pip install it")])
def test_a_model_that_is_not_to_be_had_ends_with_1_and_its_own_words(problem: Exception, faust: Faust) -> None:
    faust.problem = problem
    result = run("ingest", KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {problem}\n"


@pytest.mark.parametrize("arguments", [("--port", "{port}"), ()])
def test_what_it_says_of_itself_is_served_where_it_was_asked_for(arguments: tuple[str, ...], faust: Faust) -> None:
    port = str(free_port())
    given = [argument.format(port=port) for argument in arguments]
    set_by_variable = {} if given else {"WORKER_PORT": port}
    result = run("ingest", *given, KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false", **set_by_variable)
    assert result.exit_code == 0, result.output
    (listener,) = faust.served
    with listener:
        assert listener.getsockname() == ("127.0.0.1", int(port))


def test_nothing_is_served_unless_it_is_asked_for(faust: Faust) -> None:
    assert run("ingest", KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false").exit_code == 0
    assert faust.served == []


def test_a_port_in_use_ends_it_with_1_and_the_option(faust: Faust) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("ingest", "--port", port, KAFKA_BOOTSTRAP=NOWHERE, KAFKA_CREATE_TOPICS="false")
    assert (result.exit_code, result.stdout, faust.built) == (1, "", [])
    assert result.stderr.startswith(f"error: 127.0.0.1 port {port} cannot be listened on: ")
    assert "set worker.host and worker.port (TRAVELOS_WORKER_PORT) or give --port" in result.stderr


def test_ctrl_c_before_the_app_runs_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "ensure_topics", interrupt)
    result = run("ingest", KAFKA_BOOTSTRAP=NOWHERE)
    assert (result.exit_code, result.output) == (130, "")
