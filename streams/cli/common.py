"""What the commands share: their options, how they print, and what their exit codes mean."""

import getpass
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import KafkaUnavailable, TopicsError, error_of
from connectors.kafka.reading import StoredRecord, read_topics
from schemas.topics import Topic
from streams.log import configure_logging
from streams.settings import Options, SettingsError, load

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file of options; default travelos.toml.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]

# Without emoji: rich would print the dead letter "2:100:" as 2 and the sign for a hundred points.
out = Console(emoji=False)
err = Console(stderr=True, emoji=False)

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # it ran and the answer is no, or something it needs failed
    USAGE = 2  # wrong arguments or options; nothing was done
    PARTIAL = 3  # some of the input was bad; the rest was done
    INTERRUPTED = 130  # Ctrl-C; what was accepted was finished first


def fail(message: str, code: Exit = Exit.FAILED) -> NoReturn:
    """Print an error and leave."""
    err.print(f"[bold red]error:[/] {escape(message)}", highlight=False, markup=True, soft_wrap=True)
    raise typer.Exit(code)


def load_options(config: Path | None, **overrides: Any) -> Options:
    """Return the options in force and set up logging; leave with USAGE when they cannot be used.

    Args:
        config: the file given with `--config`.
        overrides: values from the command line by dotted name with `__` for the dot; None leaves the option alone.
    """
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    try:
        options = load(file=config, overrides=named).options
    except SettingsError as error:
        for problem in error.problems:
            err.print(problem, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(Exit.USAGE) from None
    configure_logging(options.log.level, options.log.format)
    return options


def with_brokers(config: Path | None) -> Options:
    """Return the options in force; leave with USAGE when they name no brokers."""
    options = load_options(config)
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)", Exit.USAGE)
    return options


def have_topic(options: Options, topic: Topic) -> None:
    """Create a topic if it is missing and that is ours to do; leave with FAILED when it cannot be done."""
    if not options.kafka.create_topics:
        return
    try:
        ensure_topics(options.kafka.connection(), [topic], replication=options.kafka.replication)
    except (TopicsError, KafkaUnavailable) as error:
        fail(str(error))


def records_of(
    options: Options, topic: Topic, *, since: Mapping[tuple[str, int], int] | None = None
) -> list[StoredRecord]:
    """Return the records of a topic, those of a partition in order; leave with FAILED when Kafka is away.

    Args:
        options: name the brokers.
        topic: which one.
        since: offsets to begin at, by (topic, partition); else the beginning.
    """
    try:
        records = read_topics(options.kafka.connection(), [topic.name], since=since)
    except KafkaException as error:
        fail(f"kafka.bootstrap {options.kafka.bootstrap}: {error_of(error).str()}")
    return sorted(records, key=lambda one: (one.partition, one.offset))


def operator() -> str:
    """Return who gives the command, "user@host", for what is recorded of it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user has no name in this container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def printable(text: str) -> str:
    """Return a text with its control characters as escapes, but for newline and tab: data must not steer a terminal."""
    return _CONTROL_CHARACTERS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else, to standard output."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201 - this is the output


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    """Print records as a table, or as a JSON list."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        out.print("none")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(rows[0] if rows else ()):
        table.add_column(column, no_wrap=number == 0, overflow="fold")  # names and values are copied: never shortened
    for row in rows:
        table.add_row(*("" if value is None else escape(printable(str(value))) for value in row.values()))
    out.print(table)
