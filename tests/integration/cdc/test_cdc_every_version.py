"""The other versions of PostgreSQL that the source reads, each with TLS; the rest of the tests have the newest one.

The binaries are fetched with Maven. With CI=true a server that does not start is a failure.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs
from psycopg.conninfo import make_conninfo

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


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """A folder that the server's user can enter, with a certificate of 127.0.0.1 that is its own authority."""
    folder = Path(tempfile.mkdtemp(prefix="travelos-tls-", dir="/var/tmp"))
    made = [*CERTIFICATE, "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    subprocess.run(made, check=True, capture_output=True)
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
    }
    server = start_server(request.param(tmp_path_factory.mktemp("cdc-version"), settings=settings))
    try:
        yield server
    finally:
        server.delete()


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
