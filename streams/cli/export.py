"""`travelos export`: all that is held about a person, for whoever has the right to know it."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from confluent_kafka import KafkaException

from connectors.archive.errors import ArchiveError
from connectors.kafka.errors import error_of
from connectors.keys import NotSealedHere
from connectors.keys.reading import Erased, FieldValue, unseal
from connectors.sinks.errors import SinkError
from streams.archive import plan_of, storage_of
from streams.archive.plan import is_ours
from streams.cli.common import ConfigFile, Exit, err, fail, with_brokers
from streams.keys import keys_of
from streams.persons.export import Export, gather, opened, opened_content_of
from streams.persons.provenance import ToldHoldings
from streams.persons.told_records import PersonRecords, RecordItem
from streams.persons.topics import found_in_topics
from streams.settings import Options
from streams.settings.load import without_login
from streams.stores import sink_of

OpenField = Callable[[str, str], object]
OpenSealed = Callable[[object], object]


def command(
    user: Annotated[str, typer.Argument(metavar="USER", help="Id of the person.", show_default=False)],
    to: Annotated[
        Path | None, typer.Option(help="Write to this new file, which only you may read.", show_default=False)
    ] = None,
    sealed: Annotated[bool, typer.Option("--sealed", help="Leave sensitive fields as they are stored.")] = False,
    without_records: Annotated[
        bool, typer.Option("--without-records", help="Leave out records of Kafka and of the archive.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Print all that is held about a person, as one JSON document with where each part came from.

    Exit codes: 0 printed, 1 a store, Kafka or the keys do not answer (what was found is printed), 2 wrong options.
    """
    options = with_brokers(config)
    if to is not None and to.exists():
        fail(f"{to} exists already; name a new file", Exit.USAGE)
    try:
        export = _gathered(user, options, records=not without_records)
        if not sealed:
            _open_fields(export, options)
    except KafkaException as error:
        fail(f"kafka.bootstrap {options.kafka.bootstrap}: {error_of(error).str()}")
    except SinkError as error:
        fail(f"{error}; --sealed leaves sensitive fields as they are")
    text = msgspec.json.format(msgspec.json.encode(export), indent=2)
    if to is None:
        print(text.decode())  # noqa: T201 - this is the output
    else:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
    for store, reason in export.failed.items():
        err.print(f"{store}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if export.failed:
        raise typer.Exit(Exit.FAILED)


def _gathered(user: str, options: Options, *, records: bool) -> Export:
    connection, catalogue = options.kafka.connection(), options.catalogue()
    holdings = ToldHoldings(user)
    found_in_topics(connection, catalogue, holdings)
    export = gather(holdings, partial(sink_of, options=options))
    if records:
        found = PersonRecords(catalogue, user)
        export.records = list(found.in_kafka(connection))
        try:
            export.records += _archived(found, options)
        except (ArchiveError, SinkError) as error:
            export.failed["archive"] = without_login(str(error))
    return export


def _archived(found: PersonRecords, options: Options) -> list[RecordItem]:
    """Return the person's records in the archive; none where nothing is archived."""
    if not options.archive.enabled:
        return []
    storage = storage_of(options)
    storage.open()
    try:
        return list(found.in_archive(storage, is_ours(plan_of(options), options.catalogue())))
    finally:
        storage.close()


def _open_fields(export: Export, options: Options) -> None:
    with _opening(export.user, options) as (open_field, open_sealed):
        export.items = [msgspec.structs.replace(one, content=opened(one.content, open_field)) for one in export.items]
        export.records = [
            msgspec.structs.replace(one, content=opened(open_sealed(one.content), open_field)) for one in export.records
        ]


@contextmanager
def _opening(user: str, options: Options) -> Generator[tuple[OpenField, OpenSealed]]:
    """Return what opens the fields, events and writes of a person; where there are no keys they stay as they are."""
    keys = keys_of(options)
    if keys is None:
        yield lambda _, text: text, lambda content: content
        return

    def open_field(name: str, text: str) -> object:
        try:
            (value,) = unseal(keys, [FieldValue(user, name, text)])
        except NotSealedHere:  # of somebody else, or only looks like one
            return text
        return str(value) if isinstance(value, Erased) else value

    keys.open()
    try:
        held = keys.get([user])
        yield open_field, lambda content: opened_content_of(content, held)
    finally:
        keys.close()
