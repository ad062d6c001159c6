"""What all tests on real servers share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.influxdb import InfluxServer
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerFailed
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server


@pytest.fixture(autouse=True)
def nothing_left_outside(tmp_path: Path) -> Iterator[None]:
    """Remove the data of embedded Postgres servers that lie in /var/tmp, since only root can enter pytest's folders."""
    yield
    for link in tmp_path.rglob("postgres/data"):
        if link.is_symlink():
            shutil.rmtree(link.readlink().parent, ignore_errors=True)


@pytest.fixture(scope="session")
def start_server() -> Callable[[Any], Any]:
    """Start a server and return it; where it cannot run the test is skipped, but never with CI=true."""

    def start(server: Any) -> Any:
        try:
            server.start()
        except ServerFailed as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error).splitlines()[0])
        return server

    return start


@pytest.fixture(scope="session")
def kafka_server(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A real broker for all tests; each uses topics with a prefix of its own."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def postgres_server(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A real Postgres for all tests; each uses a database of its own."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def influx_server(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InfluxServer]:
    """A real InfluxDB for all tests; each uses a bucket of its own."""
    server = InfluxServer(tmp_path_factory.mktemp("influxdb"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def redis_server(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for all tests; each uses a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="session")
def s3_server(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 for all tests; each uses a bucket of its own."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    start_server(server)
    yield server
    server.delete()
