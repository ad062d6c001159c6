"""`travelos cdc`: the source of Postgres changes."""

import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from types import FrameType
from typing import Annotated, Any
from uuid import uuid4

import typer
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc import check as look_for_problems
from connectors.cdc.encoding import Encoding
from connectors.cdc.errors import CdcError
from connectors.cdc.filters import Filters, check_patterns
from connectors.cdc.lsn import format_lsn
from connectors.cdc.outbox_options import Outbox, parse_field
from connectors.cdc.signal_topic import send_signal
from connectors.cdc.signals import Condition, Signal, SignalData
from connectors.cdc.status import Status, read_status
from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from schemas.topics import Topic
from streams.cdc_pages import CdcPages, read_page
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, out, print_json, print_rows
from streams.cli.garbage import collect_less
from streams.runtime.web import PortTaken, listen
from streams.settings import Options
from streams.settings.model import Kafka
from streams.settings.model import Source as SourceOptions


class SignalKind(StrEnum):
    """What a source can be asked to do, as Debezium names it."""

    EXECUTE = "execute-snapshot"
    STOP = "stop-snapshot"
    PAUSE = "pause-snapshot"
    RESUME = "resume-snapshot"
    LOG = "log"


app = typer.Typer(help="Read the changes of a Postgres database into Kafka, as Debezium does.", no_args_is_help=True)


def cdc_filters(source: SourceOptions) -> Filters:
    """Return what the options say about what is captured.

    Raises:
        Misconfigured: an expression cannot be used.
    """
    filters = Filters(
        include_schemas=tuple(source.include_schemas),
        exclude_schemas=tuple(source.exclude_schemas),
        exclude_tables=tuple(source.exclude_tables),
        include_columns=tuple(source.include_columns),
        exclude_columns=tuple(source.exclude_columns),
        mask_columns=_lengths(source.mask_columns),
        hash_columns=tuple(source.hash_columns),
        hash_salt=source.hash_salt.get_secret_value(),
        truncate_columns=_lengths(source.truncate_columns),
        key_columns={
            table: tuple(columns.split(";"))
            for table, _, columns in (entry.partition("=") for entry in source.key_columns)
        },
        row_filters={table: only for table, _, only in (entry.partition("=") for entry in source.row_filters)},
        push_down_columns=source.push_down_columns,
        include_prefixes=tuple(source.include_message_prefixes),
        exclude_prefixes=tuple(source.exclude_message_prefixes),
        skipped_operations=tuple(source.skipped_operations),
    )
    check_patterns("tables", source.table_patterns)
    filters.check()
    return filters


def cdc_outbox(source: SourceOptions, prefix: str) -> Outbox | None:
    """Return what the options say about an outbox; `prefix` is that of all topics.

    Raises:
        Misconfigured: a field cannot be read.
    """
    if not source.outbox_table:
        return None
    return Outbox(
        table=source.outbox_table,
        id=source.outbox_id,
        key=source.outbox_key,
        payload=source.outbox_payload,
        route_by=source.outbox_route_by,
        topic=prefix + source.outbox_topic,
        fields=tuple(map(parse_field, source.outbox_fields)),
        expand_json=source.outbox_expand_json,
        timestamp=source.outbox_timestamp,
        tombstone_on_empty=source.outbox_tombstone_on_empty,
        invalid_operation=source.outbox_invalid_operation,
    )


def cdc_encoding(source: SourceOptions) -> Encoding:
    """Return what the options say about how values are written."""
    return Encoding(
        decimals=source.decimals,
        times=source.times,
        intervals=source.intervals,
        binary=source.binary,
        hstore=source.hstore,
        unknown_types=source.unknown_types,
        schemas=source.schemas,
        unavailable=source.unavailable,
        nulls=source.nulls,
    )


def _lengths(entries: list[str]) -> dict[str, int]:
    return {name: int(length) for name, _, length in (entry.rpartition("=") for entry in entries)}


def cdc_config(options: Options) -> CdcConfig:
    """Return what the options say about the source of changes."""
    catalogue, source = options.catalogue(), options.source
    return CdcConfig(
        dsn=source.dsn.get_secret_value(),
        topics=catalogue.changes,
        offsets=catalogue.cdc_offsets,
        name=catalogue.cdc_prefix,
        slot=source.slot,
        publication=source.publication,
        publication_mode=source.publication_mode,
        failover=source.failover,
        heartbeat_seconds=source.heartbeat_seconds,
        snapshot=source.snapshot,
        signal_table=source.signal_table,
        signals=catalogue.cdc_signals,
        snapshot_connections=source.snapshot_connections,
        chunk_rows=source.snapshot_chunk_rows,
        encoding=cdc_encoding(source),
        filters=cdc_filters(source),
        patterns=tuple(source.table_patterns),
        topic_of=catalogue.changes_of,
        tombstones=source.tombstones,
        outbox=cdc_outbox(source, catalogue.prefix),
        outbox_topic_of=catalogue.routed_from_outbox,
        transactions=catalogue.beside_changes("transaction", key="id", purpose="where transactions begin and end")
        if source.transaction_metadata
        else None,
        schema_changes=catalogue.beside_changes("schema-changes", key="database", purpose="how tables look from now on")
        if source.schema_changes
        else None,
        messages=catalogue.beside_changes("message", key="prefix", purpose="what pg_logical_emit_message wrote")
        if source.messages
        else None,
        notifications=catalogue.beside_changes("notification", key="id", purpose="what happens to snapshots and slot")
        if source.notifications
        else None,
        streaming=source.streaming,
        spill_folder=options.data_dir / "cdc",
    )


@app.command()
def run(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="Serve /metrics, /live, /ready and /status there; by default nowhere.", min=0, max=65_535
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot where one is needed, then stream changes until SIGTERM or Ctrl-C.

    A connection that is lost is made again, for ever. At the end it prints what it did.

    Exit codes: 0 stopped by SIGTERM, 1 it cannot work like this (the message says what to do), 2 wrong options,
    130 stopped by Ctrl-C. However it ends, nothing is lost.
    """
    options = load_options(config)
    kafka = _kafka(options)

    def create(topics: Sequence[Topic]) -> None:
        if kafka.create_topics:
            ensure_topics(kafka.connection(), topics, replication=kafka.replication)

    source = Source(_config(options), kafka.connection(), create_topics=create)
    stop, code = Stop(), Exit.OK
    collect_less()

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal code
        code = Exit.INTERRUPTED if number == signal.SIGINT else Exit.OK
        stop.request()

    try:
        create(source.config.own_topics)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        with _pages(options, port, source):
            source.run(stop)
    except PortTaken as error:
        fail(f"{error}; set worker.host (TRAVELOS_WORKER_HOST) or give another --port")
    except (CdcError, TopicsError, KafkaUnavailable) as error:
        fail(str(error))
    summary = source.counters.told()
    if as_json:
        print_json(summary)
    else:
        print_rows([{"what": name, "value": value} for name, value in summary.items()], as_json=False)
    raise typer.Exit(code)


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Look at everything the source needs, before anything is created.

    That is the server, and where kafka.bootstrap is set the brokers: topics, and whether the last offset fits the slot.

    Exit codes: 0 the source would start (warnings are printed), 1 it would not, 2 wrong options.
    """
    options = load_options(config)
    kafka = options.kafka
    connection = kafka.connection() if kafka.bootstrap else None
    found = look_for_problems(_config(options), connection, creates_topics=kafka.create_topics)
    if found or as_json:
        print_rows([structs.asdict(finding) for finding in found], as_json=as_json)
    else:
        out.print("the source can start")
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(Exit.FAILED)


@app.command()
def status(
    port: Annotated[
        int | None, typer.Option("--port", help="Where the running source serves /status, to print that too.", min=1)
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the slot, how far behind it is, how much WAL the server may still write, and the last offset.

    With --port also what the running source says: phase, lag from commit (p50, p95, p99), events by table and op,
    records on their way to Kafka, progress of a snapshot.

    Exit codes: 0 the slot can be streamed from, 1 it is missing or lost, or a server does not answer, 2 wrong options.
    """
    options = load_options(config)
    try:
        found = read_status(_config(options), _kafka(options).connection())
    except CdcError as error:
        fail(str(error))
    row = _status_row(found)
    if port is not None:
        try:
            row |= {f"source_{name}": value for name, value in read_page(options.worker.host, port).items()}
        except OSError as error:
            fail(f"the source does not answer on {options.worker.host} port {port}: {error}")
    if as_json:
        print_json(row)
    else:
        print_rows([{"what": name, "value": value} for name, value in row.items()], as_json=False)
    if found.slot is None or found.slot.lost:
        raise typer.Exit(Exit.FAILED)


@app.command(name="signal")
def send(
    kind: Annotated[SignalKind, typer.Argument(metavar="TYPE", help="What to do.")],
    table: Annotated[
        list[str] | None, typer.Option("--table", help='A captured table, "schema.table", or an expression of some.')
    ] = None,
    where: Annotated[str, typer.Option("--where", help="SQL that rows have to meet to be read.")] = "",
    message: Annotated[str, typer.Option("--message", help='What `log` writes; "{}" stands for the LSN.')] = "{}",
    config: ConfigFile = None,
) -> None:
    """Ask a source, through Kafka, to read tables while it streams; or to stop, pause or resume that, or to log.

    A source that does not run follows the signal when it starts again.

    Exit codes: 0 Kafka has the signal, 1 it has not, 2 wrong options.
    """
    options = load_options(config)
    tables = tuple(table or ())
    if kind == SignalKind.EXECUTE and not tables:
        fail("no table is named: add --table", Exit.USAGE)
    data = SignalData(
        data_collections=tables,
        additional_conditions=tuple(Condition(name, where) for name in tables) if where else (),
        message=message,
    )
    catalogue, connection = options.catalogue(), _kafka(options).connection()
    asked = Signal(type=kind.value, id=str(uuid4()), data=data)
    try:
        sent = send_signal(connection, catalogue.cdc_signals.name, catalogue.cdc_prefix, asked)
    except CdcError as error:
        fail(str(error))
    if not sent:
        fail("kafka.bootstrap: the brokers have not taken the signal within 10 s")
    out.print(f"sent {asked.type} {asked.id}", highlight=False)


def _pages(options: Options, port: int | None, source: Source) -> AbstractContextManager[object]:
    if port is None:
        return nullcontext()
    worker = options.worker
    return CdcPages(listen(worker.host, port), source.counters, worker.patience_seconds)


def _config(options: Options) -> CdcConfig:
    if not options.source.dsn.get_secret_value():
        fail("no database is named: set source.dsn (TRAVELOS_SOURCE_DSN)", Exit.USAGE)
    try:
        return cdc_config(options)
    except CdcError as error:
        fail(str(error), Exit.USAGE)


def _kafka(options: Options) -> Kafka:
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)", Exit.USAGE)
    return options.kafka


def _status_row(found: Status) -> dict[str, Any]:
    slot, offset = found.slot, found.offset

    def lsn(value: int | None) -> str | None:
        return None if value is None else format_lsn(value)

    return {
        "slot": found.name,
        "state": "missing" if slot is None else "lost" if slot.lost else "active" if slot.active_pid else "inactive",
        "wal_status": slot and slot.wal_status,
        "lag_bytes": slot and slot.lag_bytes,
        "retained_bytes": slot and slot.retained_bytes,
        "safe_wal_size": slot and slot.safe_wal_size,
        "confirmed_lsn": slot and lsn(slot.confirmed_lsn),
        "offset_lsn": offset and lsn(offset.lsn),
        "offset_at": offset and offset.at,
        "snapshot_completed": offset is not None and offset.snapshot_completed,
    }
