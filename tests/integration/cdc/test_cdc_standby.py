"""A source that reads from a standby: what it needs is told, and then it works without writing anything."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop, check
from connectors.cdc.errors import Misconfigured, SlotLost
from connectors.kafka.connection import Connection
from deploy.local.postgres import PostgresServer, PostgresStandby

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]
Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def primary(
    start_server: Callable[[PostgresServer], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    server = start_server(PostgresServer(tmp_path_factory.mktemp("cdc-primary")))
    try:
        yield server
    finally:
        server.delete()


@pytest.fixture(scope="module")
def standby(
    primary: PostgresServer,
    start_server: Callable[[PostgresServer], PostgresServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresServer]:
    server = start_server(PostgresStandby(tmp_path_factory.mktemp("cdc-standby"), primary))
    try:
        yield server
    finally:
        server.delete()


@pytest.fixture
def postgres(primary: PostgresServer) -> PostgresServer:
    """Where the databases of these tests are made, and written to."""
    return primary


@pytest.fixture
def on_standby(
    standby: PostgresServer, dsn: str, replayed: Callable[[], None], eventually: Eventually
) -> Iterator[str]:
    """The test's database on the standby; its slots there are dropped at the end."""
    replayed()
    yield standby.dsn(dsn.rpartition("/")[2])
    with psycopg.connect(standby.dsn(), autocommit=True) as connection:
        active = "SELECT FROM pg_replication_slots WHERE active"
        eventually(lambda: connection.execute(active).fetchall() == [])
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.fixture
def replayed(primary: PostgresServer, standby: PostgresServer, eventually: Eventually) -> Callable[[], None]:
    """Wait until the standby shows what is committed on the primary."""

    def wait() -> None:
        with (
            psycopg.connect(primary.dsn(), autocommit=True) as first,
            psycopg.connect(standby.dsn(), autocommit=True) as second,
        ):
            row = first.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            behind = "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn"
            eventually(lambda: second.execute(behind, row).fetchone() == (False,))

    return wait


@pytest.fixture
def nudged(primary: PostgresServer, start: Start, eventually: Eventually) -> Start:
    """Run a source until it streams, while the primary says which transactions run, as the message asks for."""

    def begin(config: CdcConfig) -> tuple[Source, Stop]:
        source, stop = start(config)
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:

            def streams() -> bool:
                connection.execute("SELECT pg_log_standby_snapshot()")
                return source.counters.phase in ("streaming", "stopped")

            eventually(streams)
        return source, stop

    return begin


def test_what_a_standby_cannot_do_is_told_and_the_remedy_mends_it(
    sql: Sql, on_standby: str, configure: Configure, replayed: Callable[[], None]
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    replayed()
    config = configure("public.t", dsn=on_standby)
    [finding] = check(config)
    assert (finding.level, finding.option) == ("error", "source.publication")
    with pytest.raises(Misconfigured, match=r"is a standby, which cannot create it; on the primary: CREATE PUB"):
        Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())
    sql(finding.remedy.removeprefix("on the primary: "))
    replayed()
    assert check(config) == []
    sql("CREATE TABLE later (id int PRIMARY KEY)")
    replayed()
    config = configure("public.t", "public.later", dsn=on_standby)
    [finding] = check(config)
    sql(finding.remedy.removeprefix("on the primary: "))
    replayed()
    assert check(config) == []
    refused = check(structs.replace(config, snapshot="always", failover=True))
    assert [one.option for one in refused] == ["source.snapshot", "source.failover"]


def test_a_source_on_a_standby_gives_the_tables_and_follows_them(
    sql: Sql,
    on_standby: str,
    configure: Configure,
    nudged: Start,
    rebuilt: Rebuilt,
    replayed: Callable[[], None],
    eventually: Eventually,
) -> None:
    """What others write moves its slot too, although it cannot write a heartbeat."""
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t SELECT g, 'before' FROM generate_series(1, 500) g")
    sql("CREATE PUBLICATION travelos FOR TABLE t WITH (publish_via_partition_root = true)")
    replayed()
    config = configure("public.t", dsn=on_standby)
    source, stop = nudged(config)
    sql("UPDATE t SET a = 'after' WHERE id % 2 = 0")
    sql("DELETE FROM t WHERE id > 400")
    expected = [{"a": "before" if number % 2 else "after", "id": number} for number in range(1, 401)]
    eventually(lambda: source.counters.deleted >= 100)
    sql("CREATE TABLE of_others AS SELECT generate_series(1, 1000)")
    [(lsn,)] = sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8")
    eventually(lambda: source.counters.confirmed_lsn >= lsn)
    assert sorted(rebuilt(config, "public.t"), key=lambda row: row["id"]) == expected
    assert source.counters.disconnects == 0
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    sql("INSERT INTO t VALUES (401, 'while it was away')")
    again, _ = nudged(config)
    eventually(lambda: again.counters.created == 1)


def test_a_slot_that_a_recovery_conflict_took_is_one_clear_error(
    primary: PostgresServer,
    standby: PostgresServer,
    kafka: Connection,
    sql: Sql,
    on_standby: str,
    configure: Configure,
    nudged: Start,
    replayed: Callable[[], None],
    eventually: Eventually,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("CREATE PUBLICATION travelos FOR TABLE t WITH (publish_via_partition_root = true)")
    replayed()
    config = configure("public.t", dsn=on_standby)
    source, stop = nudged(config)
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    feedback = "SELECT FROM pg_replication_slots WHERE slot_name = 'standby' AND catalog_xmin IS NULL AND xmin IS NULL"
    with (
        closing(psycopg.connect(standby.dsn(), autocommit=True)) as away,
        closing(psycopg.connect(primary.dsn(), autocommit=True)) as there,
    ):
        away.execute("ALTER SYSTEM SET hot_standby_feedback = off")
        away.execute("SELECT pg_reload_conf()")
        try:
            eventually(lambda: there.execute(feedback).fetchall() != [])
            [finding] = [one for one in check(config) if one.level == "warning"]
            assert "hot_standby_feedback off" in finding.problem
            sql("CREATE TABLE gone (id int)")
            sql("DROP TABLE gone")
            sql("VACUUM FULL pg_class")
            lost = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND conflicting"
            eventually(lambda: away.execute(lost, (config.slot,)).fetchall() != [])
            with pytest.raises(SlotLost, match=r"recovery conflict.*hot_standby_feedback = on") as refused:
                Source(config, kafka).run(Stop())
            assert "\n" not in str(refused.value)
        finally:
            away.execute("ALTER SYSTEM SET hot_standby_feedback = on")
            away.execute("SELECT pg_reload_conf()")
