"""What the source refuses, in which words, and that the words mend it."""

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import structs
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from connectors.cdc import CdcConfig, Finding, Source, Stop, check
from connectors.cdc.errors import (
    Fatal,
    KafkaRefused,
    Misconfigured,
    PublicationMissing,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnknown,
)
from connectors.cdc.filters import Filters
from connectors.kafka.connection import Connection
from deploy.local.postgres import PostgresServer

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]

OPENSSL = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=elsewhere"]
PASSWORD = "never-printed-7f3a"


@pytest.fixture
def stranger(dsn: str, sql: Sql) -> Iterator[str]:
    """A role that may log in, and nothing else; yields its connection string."""
    sql(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
    host_and_database = dsn.partition("@")[2]
    yield f"postgresql://stranger:{PASSWORD}@{host_and_database}"
    sql("REASSIGN OWNED BY stranger TO postgres")
    sql("DROP OWNED BY stranger")
    sql("DROP ROLE stranger")


def levels(found: list[Finding]) -> set[str]:
    return {finding.level for finding in found}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("postgres:", f"postgres:{PASSWORD}", r"password authentication failed.*check user and password"),
        ("postgresql://postgres", "postgresql://nobody_here", r"authentication failed.*check user and password"),
        ("/cdc", "/no_such_", r'database "no_such_\d+" does not exist'),
    ],
)
def test_who_cannot_log_in_is_told_why_and_no_password_is_printed(
    dsn: str, configure: Configure, old: str, new: str, reason: str
) -> None:
    config = configure("public.t", dsn=dsn.replace(old, new, 1))
    with pytest.raises(Misconfigured, match=reason) as refused:
        Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None
    [finding] = check(config)
    assert str(refused.value) in str(finding)
    for secret in (PASSWORD, *re.findall(r"://\w+:([^@]+)@", dsn)):
        assert secret not in str(finding)


def test_a_plain_role_is_told_every_right_it_lacks_and_the_remedies_mend_it(
    dsn: str, sql: Sql, stranger: str, configure: Configure, streaming: Start, rebuilt: Rebuilt
) -> None:
    sql("CREATE SCHEMA private")
    sql("CREATE TABLE private.t (id int PRIMARY KEY)")
    sql("INSERT INTO private.t VALUES (1)")
    config = configure("private.t", dsn=stranger)
    found = check(config)
    assert [finding.option for finding in found] == ["source.dsn", "source.tables", "source.publication"]
    with pytest.raises(Misconfigured, match=r"(?s)REPLICATION.*private\.t may not be read.*only the owner") as refused:
        Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())
    assert PASSWORD not in str(refused.value)
    for finding in found:
        for statement in finding.remedy.replace("TO ...", "TO stranger").partition(" as ")[0].split(";"):
            sql(statement)
    assert check(config) == []
    streaming(config)
    assert rebuilt(config, "private.t") == [{"id": 1}]


def test_a_publication_with_a_row_filter_or_a_column_list_is_noticed(sql: Sql, configure: Configure) -> None:
    for name in ("whole", "fewer_rows", "fewer_columns"):
        sql(f"CREATE TABLE {name} (id int PRIMARY KEY, a text, b int GENERATED ALWAYS AS (id) STORED)")
    sql("CREATE PUBLICATION travelos FOR TABLE whole, fewer_rows WHERE (id > 1), fewer_columns (id)")
    found = check(configure("public.whole", "public.fewer_rows", "public.fewer_columns"))
    assert levels(found) == {"warning"}
    assert sorted(re.findall(r"(?:rows|columns) of public\.(\w+)", " ".join(map(str, found)))) == [
        "fewer_columns",
        "fewer_rows",
    ]


def test_what_is_skipped_is_not_even_sent(sql: Sql, configure: Configure, streaming: Start) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    streaming(configure("public.t", filters=Filters(skipped_operations=("d", "t"))))
    operations = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication"
    assert sql(operations) == [(True, True, False, True)]


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A stand-in that does TLS as a server does and then hangs up, because the tests' server is built without it.

    Yields its port, and its certificate, which is for another host.
    """
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    subprocess.run(
        [*OPENSSL, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with connection, suppress(OSError):
                connection.recv(8)  # SSLRequest
                connection.sendall(b"S")
                context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve, name="tls")
    thread.start()
    yield listener.getsockname()[1], certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_tls_that_cannot_be_had_is_said_in_one_line_with_what_mends_it(
    dsn: str, configure: Configure, behind_tls: tuple[int, Path]
) -> None:
    port, certificate = behind_tls

    def problem(**options: str) -> str:
        [finding] = check(configure("public.t", dsn=make_conninfo(dsn, **options)))
        assert "\n" not in str(finding)
        return str(finding)

    assert "enable TLS on the server" in problem(sslmode="require")
    there = {"port": str(port), "host": "localhost"}
    assert "give the authority with sslrootcert=" in problem(**there, sslmode="verify-ca", sslrootcert="/nowhere.crt")
    assert "does not match host name" in problem(**there, sslmode="verify-full", sslrootcert=str(certificate))
    assert "set sslmode=verify-ca" in problem(**there, sslmode="verify-full", sslrootcert=str(certificate))


def test_check_creates_nothing(sql: Sql, configure: Configure) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    assert check(configure("public.t")) == []
    assert sql("SELECT 1 FROM pg_publication") == []
    assert sql("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT 1", r"source\.tables: there is no table public\.t; take it out, or create it"),
        ("CREATE VIEW t AS SELECT 1 AS id", r"public\.t is no table"),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", r'ALTER TABLE "public"\."t" SET LOGGED'),
    ],
)
def test_a_table_that_cannot_be_captured_is_named(sql: Sql, configure: Configure, statement: str, reason: str) -> None:
    sql(statement)
    config = configure("public.t")
    with pytest.raises(Misconfigured, match=reason):
        Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())


def test_a_server_without_logical_wal_is_told_apart(
    tmp_path_factory: pytest.TempPathFactory, configure: Configure
) -> None:
    server = PostgresServer(tmp_path_factory.mktemp("replica"), settings={"wal_level": "replica"})
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY)")
        [finding] = check(configure("public.t", dsn=server.dsn()))
        assert "wal_level is replica; ALTER SYSTEM SET wal_level = logical" in str(finding)
    finally:
        server.delete()


def lose_wal(sql: Sql, slot: str) -> None:
    sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    sql("SELECT pg_reload_conf()")
    for _ in range(4):
        sql("SELECT pg_logical_emit_message(false, 'fill', '')")
        sql("SELECT pg_switch_wal()")
    sql("CHECKPOINT")
    sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
    sql("SELECT pg_reload_conf()")


def advance(sql: Sql, slot: str) -> None:
    sql("INSERT INTO t VALUES (100)")
    sql("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", slot)


DAMAGES: dict[type[Fatal], Callable[[Sql, str], object]] = {
    SlotMissing: lambda sql, slot: sql("SELECT pg_drop_replication_slot(%s)", slot),
    SlotLost: lose_wal,
    SlotAhead: advance,
    PublicationMissing: lambda sql, slot: sql("DROP PUBLICATION travelos"),
}


@pytest.mark.parametrize("error", DAMAGES)
def test_a_lost_position_is_never_passed_over_and_a_snapshot_mends_it_when_allowed(
    sql: Sql,
    kafka: Connection,
    configure: Configure,
    streaming: Start,
    rebuilt: Rebuilt,
    eventually: Eventually,
    error: type[Fatal],
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("INSERT INTO t VALUES (1)")
    config = configure("public.t")
    source, stop = streaming(config)
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", config.slot) == [])
    DAMAGES[error](sql, config.slot)
    sql("INSERT INTO t VALUES (2)")
    with pytest.raises(error, match=r'source\.snapshot = "when_needed"'):
        Source(config, kafka).run(Stop())
    again, _ = streaming(structs.replace(config, snapshot="when_needed"))
    assert again.counters.snapshots == 1
    rows = sorted(row["id"] for row in rebuilt(config, "public.t"))
    assert rows == [number for (number,) in sql("SELECT id FROM t ORDER BY id")]


def test_a_slot_that_is_lost_while_it_is_streamed_from_is_said_and_replaced_when_allowed(
    dsn: str, sql: Sql, configure: Configure, streaming: Start, rebuilt: Rebuilt, eventually: Eventually
) -> None:
    """An open transaction keeps the server from letting go of old WAL, whatever we confirm.

    It has written something: of one that has only an id, decoding knows nothing, and the server lets go of the WAL
    whenever it notes which transactions run, every 15 s.
    """
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("CREATE TABLE other (id int)")
    sql("INSERT INTO t VALUES (1)")
    config = configure("public.t", snapshot="when_needed")
    source, _ = streaming(config)
    with capture_logs() as logs:
        with psycopg.connect(dsn) as open_transaction:
            open_transaction.execute("INSERT INTO other VALUES (1)")
            sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
            sql("SELECT pg_reload_conf()")
            for _ in range(4):
                sql("INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t")
                sql("SELECT pg_switch_wal()")
            eventually(lambda: any(entry["event"] == "slot_soon_lost" for entry in logs))
            sql("CHECKPOINT")
        sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        sql("SELECT pg_reload_conf()")
        eventually(lambda: source.counters.snapshots == 2)
    reasons = [entry["reason"] for entry in logs if "reason" in entry]
    assert any("lost" in str(reason) for reason in reasons), reasons
    eventually(lambda: len(rebuilt(config, "public.t")) == len(sql("SELECT 1 FROM t")))


def test_a_failover_slot_is_made_where_the_server_knows_it_and_refused_elsewhere(
    sql: Sql, configure: Configure, streaming: Start, eventually: Eventually
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    source, stop = streaming(config)
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", config.slot) == [])
    config = structs.replace(config, failover=True)
    [(version,)] = sql("SELECT current_setting('server_version_num')::int")
    if version < 170_000:
        with pytest.raises(Misconfigured, match=r"source\.failover: .*PostgreSQL 17"):
            Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())
        return
    streaming(config)
    streaming(structs.replace(config, slot=f"{config.slot}_new"))
    failover = "SELECT failover FROM pg_replication_slots WHERE database = current_database()"
    assert sql(failover) == [(True,), (True,)]


def test_a_slot_of_somebody_else_is_left_alone(sql: Sql, kafka: Connection, configure: Configure) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", config.slot)
    with pytest.raises(SlotUnknown, match=r"choose another source\.slot, or SELECT pg_drop_replication_slot"):
        Source(config, kafka).run(Stop())
    assert len(sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", config.slot)) == 1


def test_a_row_that_kafka_will_never_take_names_its_topic(sql: Sql, kafka: Connection, configure: Configure) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t VALUES (1, repeat('x', 13 * 1024 * 1024))")
    config = configure("public.t")
    with pytest.raises(KafkaRefused, match=r"too large for topic t\d+\.cdc\.travel\.public\.t; raise"):
        Source(config, kafka).run(Stop())
