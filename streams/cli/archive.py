"""`travelos archive`: keep topics in the object store, read them back, look for gaps."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from msgspec import structs
from prometheus_client import CollectorRegistry

from connectors.archive.errors import ArchiveError
from connectors.archive.jsonl import line_of
from connectors.archive.putting_back import put_back
from connectors.archive.reading import Checked, Wanted, partitions_of, topics_in
from connectors.archive.reading import check as look
from connectors.archive.reading import read as records_of
from connectors.kafka.errors import KafkaUnavailable
from connectors.sinks.errors import SinkError
from connectors.sinks.kinds import UnknownKind
from connectors.storage.contract import Storage
from schemas.clock import milliseconds
from streams.archive import Archiver, plan_of, storage_of
from streams.archive.metrics import ArchiveMetrics
from streams.archive.pages import ArchivePages
from streams.archive.plan import group_of
from streams.cli.common import AsJson, ConfigFile, Exit, err, fail, load_options, print_rows, with_brokers
from streams.cli.until_told import PagesPort, until_told
from streams.runtime.web import listen
from streams.settings import Options

app = typer.Typer(help="Keep topics in the object store, read them back, look for gaps.", no_args_is_help=True)


@app.command()
def run(
    port: PagesPort = None,
    config: ConfigFile = None,
) -> None:
    """Archive topics until told to stop (SIGTERM, Ctrl-C); what was collected by then is written, too.

    Start as many as you like, on any machines: they share the partitions.

    A partition whose archive does not fit the topic is left out and told, and the others go on.

    Exit codes: 0 stopped in order, 1 partitions were left out, or the store cannot be used, 2 wrong options.
    """
    options = with_brokers(config)
    with until_told(ArchiveError) as stopping:
        registry = CollectorRegistry()
        metrics = ArchiveMetrics(registry)
        connection, storage = options.kafka.connection(), storage_of(options)
        archiver = Archiver(connection, group_of(options), storage, plan_of(options), metrics)
        with nullcontext() if port is None else ArchivePages(listen(options.worker.host, port), archiver, registry):
            archiver.run(stopping)


@app.command()
def read(
    topic: Annotated[str, typer.Argument(help="Its whole name.", show_default=False)],
    start: Annotated[str, typer.Option("--from", help="A time (RFC 3339) or an offset.", show_default=False)] = "",
    end: Annotated[
        str, typer.Option("--to", help="The same; it is not read itself any more.", show_default=False)
    ] = "",
    partition: Annotated[int | None, typer.Option(help="Only this one.", min=0, show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help="Only records with this key, as UTF-8.", show_default=False)] = None,
    produce_to: Annotated[
        str, typer.Option("--produce-to", help="Put the records into this topic instead.", show_default=False)
    ] = "",
    config: ConfigFile = None,
) -> None:
    """Print records of a topic as JSON lines, in order for each partition, or put them into a topic as they were.

    A line has the fields of the archive's own JSON lines; bytes that are no UTF-8 stand in Base64.

    Exit codes: 0 done, 1 the archive cannot be read or Kafka does not take the records, 2 wrong options.
    """
    options = with_brokers(config) if produce_to else load_options(config)
    wanted = _wanted(start, end, partition, key)
    with _opened(options) as storage:
        found = records_of(storage, topic, wanted)
        if produce_to:
            count = put_back(options.kafka.connection(), produce_to, found, partitions_of(storage, topic))
            err.print(f"{count} records of {topic} put into {produce_to}", highlight=False, markup=False)
            return
        for record in found:
            sys.stdout.buffer.write(line_of(record))
        sys.stdout.buffer.flush()


@app.command()
def check(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Default: all that are there.", show_default=False)
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="Read every object, too.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print which offsets the archive has of each partition, and look for gaps and overlaps.

    Exit codes: 0 every offset is there once, 1 one is not, or the archive cannot be read, 2 wrong options.
    """
    with _opened(load_options(config)) as storage:
        found = [one for topic in topics or topics_in(storage) for one in look(storage, topic, content=content)]
    print_rows([_row(one) for one in found], as_json=as_json)
    if not all(one.whole for one in found):
        raise typer.Exit(Exit.FAILED)


@contextmanager
def _opened(options: Options) -> Generator[Storage]:
    try:
        storage = storage_of(options)
    except UnknownKind as error:
        fail(str(error), Exit.USAGE)
    try:
        storage.open()
        yield storage
    except (ArchiveError, SinkError, KafkaUnavailable) as error:
        fail(str(error))
    finally:
        storage.close()


def _row(found: Checked) -> dict[str, Any]:
    span = found.coverage.span
    row: dict[str, Any] = {
        "topic": found.topic,
        "partition": found.partition,
        "objects": found.coverage.objects,
        "first": None if span is None else span.first,
        "last": None if span is None else span.last,
        "gaps": " ".join(f"{first}-{last}" for first, last in found.coverage.gaps),
        "overlaps": " ".join(f"{first}-{last}" for first, last in found.coverage.overlaps),
        "pending": found.pending,
    }
    return row if found.records is None else {**row, "records": found.records, "problems": " ".join(found.problems)}


def _wanted(start: str, end: str, partition: int | None, key: str | None) -> Wanted:
    wanted = Wanted(partition=partition, key=None if key is None else key.encode())
    if start:
        wanted = structs.replace(wanted, **_edge("from", start))
    return structs.replace(wanted, **_edge("to", end)) if end else wanted


def _edge(name: str, text: str) -> dict[str, int]:
    if text.isdecimal():
        return {f"{name}_offset": int(text)}
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--{name} must be a time such as 2026-01-31T08:00Z, or an offset, got {text!r}", Exit.USAGE)
    return {f"{name}_ms": milliseconds(moment.replace(tzinfo=moment.tzinfo or UTC))}
