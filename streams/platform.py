"""Kafka and Postgres for `demo` and `run`: those that the options name, else ones that are started here."""

import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import structlog

from deploy.local.kafka import KafkaServer, MemoryKafka
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerFailed
from deploy.local.server import Server
from streams.data_folder import DataFolder
from streams.roles import stop_left_behind
from streams.settings import Loaded, all_options, load
from streams.settings.env_file import write_env_file
from streams.settings.load import CONFIG_VARIABLE

log = structlog.get_logger(__name__)

KafkaKind = Literal["named", "real", "docker", "memory"]

COMPOSE_FILE = Path("docker-compose.kafka.yml")
COMPOSE_BOOTSTRAP = "127.0.0.1:9092"
SOURCE_DATABASE = "travel"
RELATIONAL_DATABASE = "travelos"


class BadKafkaChoice(ValueError):  # noqa: N818 - reads as a statement
    """The value of `--kafka` is none that there is; the message says which there are."""


def choose_kafka(wanted: str, named: str, *, java: bool, docker: bool) -> tuple[KafkaKind, str]:
    """Return which Kafka to use, and its address if it is there already.

    Args:
        wanted: "auto", "real", "memory" or an address, from `--kafka`.
        named: `kafka.bootstrap` of the options.
        java: whether `java` and `mvn` are here.
        docker: whether a Docker engine answers and the compose file is here.

    Raises:
        BadKafkaChoice: `wanted` is nothing of that.
    """
    if ":" in wanted:
        return "named", wanted
    match wanted:
        case "memory":
            return "memory", ""
        case "auto" if named:
            return "named", named
        case "auto" | "real" if java:
            return "real", ""
        case "auto" | "real" if docker:
            return "docker", COMPOSE_BOOTSTRAP
        case "auto":
            return "memory", ""
        case "real":
            raise BadKafkaChoice("--kafka real needs `java` and `mvn`, or Docker, on this machine; neither is here")
        case _:
            raise BadKafkaChoice(f"--kafka must be auto, real, memory or HOST:PORT, got {wanted!r}")


class Broker(Protocol):
    """A Kafka that was started here."""

    @property
    def bootstrap(self) -> str:
        """Its address."""
        ...

    def start(self) -> None:
        """Start it and return when it answers."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...


class Platform:
    """What the roles need around them.

    `start` returns when all of it answers; after that `loaded` holds the options as they are now in force, and
    `environment` the same for child processes.
    """

    def __init__(self, loaded: Loaded, *, kafka: str, config_file: Path | None = None) -> None:
        self.loaded = loaded
        self._config_file = config_file
        self._folder = loaded.options.data_dir.resolve()
        self._data = DataFolder(self._folder)
        self.kind, self._address = choose_kafka(
            kafka, loaded.options.kafka.bootstrap, java=KafkaServer.available(), docker=_docker_answers()
        )
        self._broker: Broker | None = None
        self._postgres: PostgresServer | None = None
        self._overrides: dict[str, object] = {"data_dir": str(self._folder)}
        if not loaded.options.keys.store:
            self._overrides["keys.store"] = "sqlite"  # all workers are on this machine

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that give child processes the same options."""
        variables = {option.name: option.variable for option in all_options()}
        values = {variables[name]: str(value) for name, value in self._overrides.items()}
        return values if self._config_file is None else {**values, CONFIG_VARIABLE: str(self._config_file.resolve())}

    @property
    def env_file(self) -> Path:
        """Where the same variables lie while the platform is up, for the shell of whoever wants to use it."""
        return self._folder / "travelos.env"

    @property
    def owns_source(self) -> bool:
        """Whether the source database is the embedded one."""
        return "source.dsn" in self._overrides

    def start(self) -> None:
        """Take the data folder, end what a killed run left behind in it, and start what is missing, side by side.

        Raises:
            FolderRefused: another pipeline works in the data folder.
            ServerFailed: one of the servers did not come up.
        """
        self._data.claim()
        stop_left_behind(self._folder)
        with ThreadPoolExecutor(2) as pool:
            for started in (pool.submit(self._start_kafka), pool.submit(self._start_postgres)):
                started.result()
        self.loaded = load(file=self._config_file, overrides=self._overrides)
        write_env_file(self.env_file, self.environment)

    def check(self) -> None:
        """Start servers again that have ended unasked; to be called every now and then.

        Raises:
            ServerFailed: one does not come up again.
        """
        for server in (self._broker, self._postgres):
            if isinstance(server, Server) and server.process.died:
                log.warning("server_ended", server=server.name, last_lines=server.process.last_lines(5))
                server.start()

    def stop(self) -> None:
        """Stop what was started here."""
        self.env_file.unlink(missing_ok=True)
        try:
            if self._broker is not None:
                self._broker.stop()
        finally:
            if self._postgres is not None:
                self._postgres.stop()
            self._data.release()

    def _start_kafka(self) -> None:
        if self.kind == "real":
            self._broker = KafkaServer(self._folder / "kafka")
        elif self.kind == "memory":
            self._broker = MemoryKafka()
            self._overrides["kafka.partitions"] = MemoryKafka.partitions
            # State and offsets that an earlier run left say how far it has read topics that are gone.
            shutil.rmtree(self._folder / "state", ignore_errors=True)
            self._overrides["source.snapshot"] = "when_needed"
        elif self.kind == "docker":
            _compose_up()
        if self._broker is not None:
            self._broker.start()
            self._address = self._broker.bootstrap
        self._overrides["kafka.bootstrap"] = self._address
        log.info("kafka_ready", kind=self.kind, bootstrap=self._address)

    def _start_postgres(self) -> None:
        options = self.loaded.options
        source, relational = options.source.dsn.get_secret_value(), options.stores.relational.url.get_secret_value()
        if source and relational:
            return
        self._postgres = PostgresServer(self._folder / "postgres")
        self._postgres.start()
        for name, database, given in (
            ("source.dsn", SOURCE_DATABASE, source),
            ("stores.relational.url", RELATIONAL_DATABASE, relational),
        ):
            if not given:
                self._postgres.create_database(database)
                self._overrides[name] = self._postgres.dsn(database)
        log.info("postgres_ready", port=self._postgres.port, folder=str(self._folder / "postgres"))


def _compose_up() -> None:
    command = ["docker", "compose", "-f", str(COMPOSE_FILE), "up", "--detach", "--wait", "kafka"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")


def _docker_answers() -> bool:
    if shutil.which("docker") is None or not COMPOSE_FILE.is_file():
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=5)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
