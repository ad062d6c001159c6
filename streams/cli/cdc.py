"""`travelos cdc`: the source of Postgres changes."""

import signal
from types import FrameType
from typing import Any

import typer
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc import check as look_for_problems
from connectors.cdc.errors import CdcError
from connectors.cdc.lsn import format_lsn
from connectors.cdc.status import Status, read_status
from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, out, print_json, print_rows
from streams.settings import Options
from streams.settings.model import Kafka

app = typer.Typer(help="Read the changes of a Postgres database into Kafka, as Debezium does.", no_args_is_help=True)


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
        snapshot=source.snapshot,
        snapshot_connections=source.snapshot_connections,
        chunk_rows=source.snapshot_chunk_rows,
        decimals=source.decimals,
        streaming=source.streaming,
        spill_folder=options.data_dir / "cdc",
    )


@app.command()
def run(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Take a snapshot where one is needed, then stream changes until SIGTERM or Ctrl-C.

    A connection that is lost is made again, for ever. At the end it prints what it did.

    Exit codes: 0 stopped by SIGTERM, 1 it cannot work like this (the message says what to do), 2 wrong options,
    130 stopped by Ctrl-C. However it ends, nothing is lost.
    """
    options = load_options(config)
    source = Source(_config(options), _kafka(options).connection())
    stop, code = Stop(), Exit.OK

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal code
        code = Exit.INTERRUPTED if number == signal.SIGINT else Exit.OK
        stop.request()

    try:
        if options.kafka.create_topics:
            topics = [*source.config.topics.values(), source.config.offsets]
            ensure_topics(options.kafka.connection(), topics, replication=options.kafka.replication)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        source.run(stop)
    except (CdcError, TopicsError, KafkaUnavailable) as error:
        fail(str(error))
    summary = structs.asdict(source.counters)
    if as_json:
        print_json(summary)
    else:
        print_rows([{"what": name, "value": value} for name, value in summary.items()], as_json=False)
    raise typer.Exit(code)


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Look at everything the source needs on the server, before anything is created there.

    Exit codes: 0 the source would start (warnings are printed), 1 it would not, 2 wrong options.
    """
    found = look_for_problems(_config(load_options(config)))
    if found or as_json:
        print_rows([structs.asdict(finding) for finding in found], as_json=as_json)
    else:
        out.print("the source can start")
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(Exit.FAILED)


@app.command()
def status(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the slot, how far behind it is, how much WAL the server may still write, and the last offset.

    Exit codes: 0 the slot can be streamed from, 1 it is missing or lost, or a server does not answer, 2 wrong options.
    """
    options = load_options(config)
    try:
        found = read_status(_config(options), _kafka(options).connection())
    except CdcError as error:
        fail(str(error))
    row = _status_row(found)
    if as_json:
        print_json(row)
    else:
        print_rows([{"what": name, "value": value} for name, value in row.items()], as_json=False)
    if found.slot is None or found.slot.lost:
        raise typer.Exit(Exit.FAILED)


def _config(options: Options) -> CdcConfig:
    if not options.source.dsn.get_secret_value():
        fail("no database is named: set source.dsn (TRAVELOS_SOURCE_DSN)", Exit.USAGE)
    return cdc_config(options)


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
