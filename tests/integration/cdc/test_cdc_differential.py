"""Debezium and ours read one Postgres side by side; their events are compared field by field.

Needs Java and Maven for the peer. With CI=true a peer that does not start is a failure.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import psycopg
import pytest
from msgspec import structs

from bench.cdc.comparison import Different
from bench.cdc.configurations import CONFIGURATIONS, Configuration
from bench.cdc.debezium import install
from bench.cdc.differences import ON_OLDER, unexplained, unused
from bench.cdc.side_by_side import SideBySide, Trial
from bench.cdc.workload.features import features_of
from bench.cdc.workload.mix import Mix
from connectors.kafka.connection import Connection
from deploy.local.postgres import PostgresServer
from deploy.local.postgres.archived import Postgres15
from deploy.local.postgres.postgis import PostgisServer
from deploy.local.process import ServerFailed

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

Compared = Callable[[str, bool], Sequence[Different]]

SHOWN = 20
BY_NAME = {one.name: one for one in CONFIGURATIONS}
# Workloads of other mixes: whose seed it is, in which configuration, on the older server or the newer one.
OTHER_MIXES = (
    (1001, "debezium_defaults", False),
    (1002, "concealed", False),
    (1003, "debezium_defaults", True),
    (1004, "incremental", False),
)
# Some differences are rare, and schemas make records large: one configuration has the large workload.
LARGE = Trial(seed=1, statements_before=700, statements=4_000, large_rows=5_000)
SMALL = Trial(seed=1)
EVERYWHERE = [(name, False) for name in BY_NAME] + [(name, True) for name in ON_OLDER]

numbers = count(1)


@pytest.fixture(scope="module")
def peer() -> None:
    """Debezium is installed; where it cannot be the test is skipped, but never with CI=true."""
    try:
        install()
    except ServerFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error).splitlines()[0])


@pytest.fixture(scope="module")
def older(
    start_server: Callable[[PostgresServer], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A server with PostGIS where Debian's packages can be had, and with the extensions of PostgreSQL in any case."""
    folder = tmp_path_factory.mktemp("cdc-older-postgres")
    try:
        PostgisServer.install()
        server = start_server(PostgisServer(folder))
    except ServerFailed:
        server = start_server(Postgres15(folder))
    try:
        yield server
    finally:
        server.delete()


def read(
    server: PostgresServer, kafka: Connection, folder: Path, configuration: Configuration, trial: Trial
) -> Sequence[Different]:
    """Return what differs in one configuration."""
    name = f"side{next(numbers)}"
    server.create_database(name)
    dsn = server.dsn(name)
    trial = structs.replace(trial, features=features_of(dsn))
    try:
        with SideBySide(dsn, kafka, folder, configuration, trial) as both:
            return both.compare()
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def compared(
    peer: None,
    postgres: PostgresServer,
    older: PostgresServer,
    memory: Connection,
    tmp_path_factory: pytest.TempPathFactory,
) -> Compared:
    """Return what differs in a configuration, on the older server or the newer one; each is run once."""
    found: dict[tuple[str, bool], Sequence[Different]] = {}

    def compare(name: str, on_older: bool) -> Sequence[Different]:
        server = older if on_older else postgres
        if (name, on_older) not in found:
            trial = LARGE if name == "defaults" else SMALL
            found[name, on_older] = read(server, memory, tmp_path_factory.mktemp("peer"), BY_NAME[name], trial)
        return found[name, on_older]

    return compare


@pytest.mark.parametrize(("name", "on_older"), EVERYWHERE)
def test_the_events_are_debeziums_but_for_the_differences_that_are_listed(
    compared: Compared, name: str, on_older: bool
) -> None:
    """The server streams the larger transactions to us while they run; Debezium gets them at their commit."""
    assert unexplained(compared(name, on_older), name)[:SHOWN] == []


def test_each_listed_difference_is_seen(compared: Compared, postgres: PostgresServer, older: PostgresServer) -> None:
    features = {feature for server in (postgres, older) for feature in features_of(server.dsn())}
    found: dict[str, list[Different]] = {}
    for name, on_older in EVERYWHERE:
        found.setdefault(name, []).extend(compared(name, on_older))
    assert [difference.what for difference in unused(found, features)] == []


@pytest.mark.parametrize(("seed", "name", "on_older"), OTHER_MIXES)
def test_workloads_of_other_mixes_find_no_other_difference(
    peer: None,
    postgres: PostgresServer,
    older: PostgresServer,
    memory: Connection,
    tmp_path: Path,
    seed: int,
    name: str,
    on_older: bool,
) -> None:
    """Mostly deletes, or changes of many rows, or one row that everybody works on, ...: the seed decides."""
    server = older if on_older else postgres
    trial = Trial(seed=seed, mix=Mix.of(seed))
    assert unexplained(read(server, memory, tmp_path, BY_NAME[name], trial), name)[:SHOWN] == []
