"""Which Kafka is used, and what a platform starts, stops and tells its children. The servers are stand-ins."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

import streams.platform
from deploy.local.process import ServerFailed
from streams.platform import COMPOSE_BOOTSTRAP, BadKafkaChoice, Platform, choose_kafka
from streams.settings import Loaded, load

NAMED = "broker:9092"


@pytest.mark.parametrize(
    ("wanted", "named", "java", "docker", "chosen"),
    [
        # What --kafka names wins, whatever else there is.
        *(
            ("host:1", named, java, docker, ("named", "host:1"))
            for named, java, docker in product(("", NAMED), *[(0, 1)] * 2)
        ),
        *(
            ("memory", named, java, docker, ("memory", ""))
            for named, java, docker in product(("", NAMED), *[(0, 1)] * 2)
        ),
        *(("auto", NAMED, java, docker, ("named", NAMED)) for java, docker in product((0, 1), (0, 1))),
        ("auto", "", 1, 1, ("real", "")),
        ("auto", "", 1, 0, ("real", "")),
        ("auto", "", 0, 1, ("docker", COMPOSE_BOOTSTRAP)),
        ("auto", "", 0, 0, ("memory", "")),
        # "real" means one that is started here, also where the options name another.
        *(("real", named, 1, docker, ("real", "")) for named, docker in product(("", NAMED), (0, 1))),
        *(("real", named, 0, 1, ("docker", COMPOSE_BOOTSTRAP)) for named in ("", NAMED)),
    ],
)
def test_every_choice_leads_to_one_kafka(wanted: str, named: str, java: int, docker: int, chosen: Any) -> None:
    assert choose_kafka(wanted, named, java=bool(java), docker=bool(docker)) == chosen


def test_a_real_kafka_that_cannot_be_started_is_an_error_with_what_is_missing() -> None:
    with pytest.raises(BadKafkaChoice, match="java"):
        choose_kafka("real", NAMED, java=False, docker=False)


@pytest.mark.parametrize("wanted", ["", "Memory", "kafka", "none"])
def test_a_choice_that_there_is_not_is_an_error_with_those_there_are(wanted: str) -> None:
    with pytest.raises(BadKafkaChoice, match="auto, real, memory or HOST:PORT"):
        choose_kafka(wanted, NAMED, java=True, docker=True)


class Servers:
    """Stand-ins for the servers of a platform, and what was done with them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fails: str = ""

    def server(self, name: str) -> type:
        servers = self

        class Server:
            partitions = 4
            port = 5432
            bootstrap = f"{name}:9092"

            def __init__(self, folder: Path | None = None) -> None: ...

            @staticmethod
            def available() -> bool:
                return True

            def start(self) -> None:
                servers.note(f"start {name}")

            def stop(self) -> None:
                servers.note(f"stop {name}")

            def create_database(self, database: str) -> None:
                servers.note(f"create {database}")

            def dsn(self, database: str) -> str:
                return f"postgresql:///{database}"

        return Server

    def note(self, what: str) -> None:
        self.log.append(what)
        if what == self.fails:
            raise ServerFailed(f"{what} failed")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Servers:
    monkeypatch.chdir(tmp_path)
    made = Servers()
    for name in ("KafkaServer", "MemoryKafka", "PostgresServer"):
        monkeypatch.setattr(streams.platform, name, made.server(name))
    return made


def loaded(**options: Any) -> Loaded:
    named = {name.replace("__", "."): value for name, value in options.items()}
    return load(environ={}, overrides={"data_dir": "data", **named})


def test_everything_that_is_not_named_is_started_and_its_address_is_in_force_here_and_in_children(
    servers: Servers, tmp_path: Path
) -> None:
    platform = Platform(loaded(), kafka="auto")
    platform.start()
    options = platform.loaded.options
    assert options.kafka.bootstrap == "KafkaServer:9092"
    assert options.source.dsn.get_secret_value() == "postgresql:///travel"
    assert options.stores.relational.url.get_secret_value() == "postgresql:///travelos"
    assert load(environ=platform.environment).options == options
    assert options.data_dir == tmp_path / "data"
    assert options.keys.store == "sqlite"
    platform.stop()
    assert sorted(servers.log[:2]) == ["start KafkaServer", "start PostgresServer"] or "create travel" in servers.log
    assert servers.log[-2:] == ["stop KafkaServer", "stop PostgresServer"]


def test_what_the_options_name_is_not_started(servers: Servers) -> None:
    urls = {"source__dsn": "postgresql://s", "stores__relational__url": "postgresql://r"}
    platform = Platform(loaded(kafka__bootstrap=NAMED, keys__store="off", **urls), kafka="auto")
    platform.start()
    assert "TRAVELOS_KEYS_STORE" not in platform.environment
    platform.stop()
    assert servers.log == []


def test_only_the_database_that_is_not_named_is_created(servers: Servers) -> None:
    platform = Platform(loaded(kafka__bootstrap=NAMED, source__dsn="postgresql://s"), kafka="auto")
    platform.start()
    platform.stop()
    assert servers.log == ["start PostgresServer", "create travelos", "stop PostgresServer"]
    assert "TRAVELOS_SOURCE_DSN" not in platform.environment


def test_a_kafka_in_memory_forgets_what_was_read_from_the_last_one(servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "data" / "state" / "ingest").mkdir(parents=True)
    (tmp_path / "data" / "stores").mkdir()
    platform = Platform(loaded(kafka__partitions=9), kafka="memory")
    platform.start()
    platform.stop()
    assert not (tmp_path / "data" / "state").exists()
    assert (tmp_path / "data" / "stores").exists()
    assert platform.loaded.options.kafka.partitions == 4  # it makes no other number
    assert platform.loaded.options.source.snapshot == "when_needed"


def test_a_file_of_options_reaches_the_children_by_its_whole_path(servers: Servers, tmp_path: Path) -> None:
    Path("my.toml").write_text('[intake]\ndedupe_hours = 2\n[kafka]\nbootstrap = "broker:9092"')
    platform = Platform(load(file=Path("my.toml"), environ={}), kafka="auto", config_file=Path("my.toml"))
    platform.start()
    platform.stop()
    assert platform.environment["TRAVELOS_CONFIG"] == str(tmp_path / "my.toml")
    assert load(environ=platform.environment).options.intake.dedupe_hours == 2


@pytest.mark.parametrize(
    "failing", ["start KafkaServer", "start PostgresServer", "create travelos", "stop KafkaServer"]
)
def test_whatever_fails_all_that_was_started_is_stopped(servers: Servers, failing: str) -> None:
    servers.fails = failing
    platform = Platform(loaded(), kafka="auto")

    def run() -> None:
        try:
            platform.start()
        finally:
            platform.stop()

    with pytest.raises(ServerFailed, match=failing):
        run()
    assert servers.log[-2:] == ["stop KafkaServer", "stop PostgresServer"]
