"""The other versions of PostgreSQL that the source reads, each with TLS; the rest of the tests have the newest one.

The binaries are fetched with Maven. With CI=true a server that does not start is a failure.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.cdc.convergence.rebuild import RebuiltTable, Row
from bench.cdc.workload.features import features_of
from bench.cdc.workload.runner import run
from bench.cdc.workload.steps import Workload
from bench.cdc.workload.tables import NO_KEY, prepare, tables_with
from connectors.cdc import CdcConfig, Source, Stop, check
from connectors.kafka.connection import Connection
from deploy.local.postgres import PostgresServer
from deploy.local.postgres.archived import OTHER_VERSIONS
from deploy.local.postgres.server import give

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

Sql = Callable[..., list[tuple[object, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Messages = Callable[[CdcConfig, str], list[Message]]
CaughtUp = Callable[[Source], None]

CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=postgres"]
STREAMS_SINCE = 140_000
# Whoever is called `certified` has to have a certificate that says so; the others have passwords.
RULES = "hostssl all certified 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """A folder that the server's user can enter, with a certificate of 127.0.0.1 that is its own authority."""
    folder = Path(tempfile.mkdtemp(prefix="travelos-tls-", dir="/var/tmp"))
    made = [*CERTIFICATE, "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "pg_hba.conf").write_text(RULES)
    for path in (folder, *folder.iterdir()):
        give(path)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=OTHER_VERSIONS, ids=lambda one: one.release)
def postgres(
    request: pytest.FixtureRequest,
    certificate: Path,
    start_server: Callable[[PostgresServer], PostgresServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresServer]:
    settings = {
        "logical_decoding_work_mem": "64kB",
        "wal_sender_timeout": "3s",
        "ssl": "on",
        "ssl_cert_file": str(certificate / "server.crt"),
        "ssl_key_file": str(certificate / "server.key"),
        "ssl_ca_file": str(certificate / "server.crt"),
        "hba_file": str(certificate / "pg_hba.conf"),
    }
    server = start_server(request.param(tmp_path_factory.mktemp("cdc-version"), settings=settings))
    try:
        yield server
    finally:
        server.delete()


class Identity(NamedTuple):
    """A user's certificate and its key."""

    certificate: Path
    key: Path

    def of(self, dsn: str, authority: Path) -> str:
        """Return a connection string that shows it, without a password."""
        given = {name: value for name, value in conninfo_to_dict(dsn).items() if name not in ("user", "password")}
        return make_conninfo(
            "",
            **given,
            user="certified",
            sslmode="verify-full",
            sslrootcert=str(authority),
            sslcert=str(self.certificate),
            sslkey=str(self.key),
        )


def identity(name: str, folder: Path, authority: Path) -> Identity:
    """Make a certificate that the server's authority has signed."""
    key, request, signed = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
    new = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    subprocess.run([*new, "-keyout", str(key), "-out", str(request)], check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-days", "2", "-in", str(request), "-out", str(signed), "-set_serial", "7"]
    sign += ["-CA", str(authority / "server.crt"), "-CAkey", str(authority / "server.key")]
    subprocess.run(sign, check=True, capture_output=True)
    key.chmod(0o600)
    return Identity(signed, key)


def rebuilt(messages: list[Message], columns: Sequence[str]) -> dict[bytes, Row]:
    table = RebuiltTable()
    for message in messages:
        table.take(message.key() or b"", message.value())
    assert table.contradictions == []
    return {key: {name: row[name] for name in columns} for key, row in table.rows.items()}


def test_the_stream_gives_what_a_snapshot_reads_on_every_version_and_over_tls(
    dsn: str,
    sql: Sql,
    kafka: Connection,
    certificate: Path,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    """A random workload on all types and replica identities, its larger transactions sent while they run."""
    features = features_of(dsn)
    tables = [table for table in tables_with(features) if table is not NO_KEY]
    names = [table.full_name for table in tables]
    for statement in prepare(tables, features):
        sql(statement)
    workload = Workload(7, tables, truncate=False, large_rows=1_000)
    run(dsn, workload.steps(150))
    trusted = make_conninfo(dsn, sslmode="verify-full", sslrootcert=str(certificate / "server.crt"))
    config = configure(*names, dsn=trusted)
    assert [finding for finding in check(config) if finding.level == "error"] == []
    source, _ = streaming(config)
    run(dsn, workload.steps(600))
    caught_up(source)
    encrypted = "SELECT ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
    assert sql(encrypted) == [(True,)]
    with psycopg.connect(dsn) as connection:
        if connection.info.server_version >= STREAMS_SINCE:
            [(streamed,)] = sql("SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = %s", config.slot)
            assert streamed
    read = structs.replace(configure(*names, dsn=trusted), snapshot="initial_only")
    Source(read, kafka).run(Stop())
    for table, name in zip(tables, names, strict=True):
        columns = [table.key, *table.columns]  # those that came later say nothing of the rows that were there
        assert rebuilt(messages(config, name), columns) == rebuilt(messages(read, name), columns), name


def test_a_client_certificate_lets_it_in_and_without_the_right_one_it_says_what_to_give(
    dsn: str,
    sql: Sql,
    certificate: Path,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
    tmp_path: Path,
) -> None:
    authority = certificate / "server.crt"
    right, wrong = identity("certified", tmp_path, certificate), identity("somebody", tmp_path, certificate)
    readable = right._replace(key=tmp_path / "readable.key")
    readable.key.write_bytes(right.key.read_bytes())
    readable.key.chmod(0o644)
    sql("CREATE ROLE certified LOGIN SUPERUSER")
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("INSERT INTO t VALUES (1)")

    def problem(shown: str) -> str:
        [finding] = check(configure("public.t", dsn=shown))
        assert "\n" not in str(finding)
        return str(finding)

    without = make_conninfo(dsn, user="certified", sslmode="verify-full", sslrootcert=str(authority))
    assert "give one with sslcert= and sslkey=" in problem(without)
    assert "give a certificate of this user with sslcert= and sslkey=" in problem(wrong.of(dsn, authority))
    assert "only its owner may read the file (chmod 600)" in problem(readable.of(dsn, authority))
    config = configure("public.t", dsn=right.of(dsn, authority))
    assert check(config) == []
    source, _ = streaming(config)
    sql("INSERT INTO t VALUES (2)")
    caught_up(source)
    assert sql("SELECT client_dn FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)") == [("/CN=certified",)]
    assert sorted(row["id"] for row in rebuilt(messages(config, "public.t"), ["id"]).values()) == [1, 2]
