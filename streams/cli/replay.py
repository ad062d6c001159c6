"""`travelos replay`: have a role read topics again."""

from datetime import UTC, datetime
from typing import Annotated, cast

import typer

from connectors.kafka.errors import KafkaUnavailable
from connectors.kafka.seek import GroupActive, Start, seek_group
from schemas.clock import milliseconds
from schemas.topics import Catalogue
from schemas.writes import STORES, StoreName
from streams.app import Role, group_of
from streams.cli.common import AsJson, ConfigFile, Exit, fail, load_options, print_rows


def command(
    start: Annotated[str, typer.Option("--from", help="beginning, end, a time (RFC 3339), or an offset.")],
    role: Annotated[
        Role | None, typer.Argument(help="Whose reading is set back; with --sink: deliver.", show_default=False)
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option("--sink", help="Rebuild this store from its topics; may be repeated.", show_default=False),
    ] = None,
    store: Annotated[list[str] | None, typer.Option(help="The same as --sink.", show_default=False)] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="Only this topic; may be repeated.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be set.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Set back (or forward) where a role reads, so that it processes records again; a store is rebuilt this way.

    Its workers must be stopped. What was processed before changes nothing when it is processed again: writes carry
    versions, and state knows which record last changed it.

    Exit codes: 0 set, 1 the role is running or Kafka does not answer, 2 wrong options.
    """
    options = load_options(config)
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)", Exit.USAGE)
    named = [*(sink or []), *(store or [])]
    if role is None:
        if not named:
            fail("name the role, ingest, deliver or sagas, or a store with --sink", Exit.USAGE)
        role = "deliver"
    known = topics_of(role, options.catalogue(), _stores(role, named))
    unknown = [name for name in topic or () if name not in known]
    if unknown:
        fail(f"{role} does not read {unknown[0]}; it reads {', '.join(known)}", Exit.USAGE)
    try:
        moved = seek_group(
            options.kafka.connection(), group_of(role, options), topic or known, parse_start(start), dry_run=dry_run
        )
    except ValueError as error:
        fail(str(error), Exit.USAGE)
    except (GroupActive, KafkaUnavailable) as error:
        fail(str(error))
    rows = [{"topic": one.topic, "partition": one.partition, "from": one.before, "to": one.after} for one in moved]
    print_rows(rows, as_json=as_json)


def topics_of(role: Role, catalogue: Catalogue, stores: list[StoreName]) -> list[str]:
    """Return the topics that a role reads; of the deliver role those of some stores only, if any are named."""
    if role == "ingest":
        sources = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)
        return [one.name for one in (*sources, *catalogue.all_changes, catalogue.claims)]
    if role == "sagas":
        return [one.name for one in (catalogue.saga_starts, catalogue.saga_receipts, catalogue.saga_commands)]
    lanes = [topic.name for topic, store, _ in catalogue.all_writes() if not stores or store in stores]
    beside = [
        topic.name
        for store in stores or STORES
        for topic in (catalogue.deferred(store), catalogue.compensations(store))
    ]
    return [*lanes, *beside]


def _stores(role: Role, names: list[str]) -> list[StoreName]:
    """Return the stores that were named; leave with USAGE when the role has none or one does not exist."""
    if names and role != "deliver":
        fail(f"--sink and --store are for the role deliver; {role} is set back by --topic", Exit.USAGE)
    for name in names:
        if name not in STORES:
            fail(f"--sink and --store must be one of {', '.join(STORES)}, got {name!r}", Exit.USAGE)
    return cast(list[StoreName], names)


def parse_start(text: str) -> Start:
    """Return where to read from.

    Raises:
        ValueError: the text is nothing of what is allowed.
    """
    if text in {"beginning", "end"}:
        return Start(edge="beginning" if text == "beginning" else "end")
    if text.isdecimal():
        return Start(offset=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"--from must be beginning, end, a time such as 2026-01-31T08:00Z, or an offset, got {text!r}"
        ) from None
    # Kafka takes negative times for edges.
    return Start(time_ms=max(0, milliseconds(moment.replace(tzinfo=moment.tzinfo or UTC))))
