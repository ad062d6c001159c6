"""`travelos demo`: the whole pipeline on this machine, with real input, in half a minute."""

from pathlib import Path
from typing import Annotated

import psycopg
import structlog
import typer
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table

from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.producers.gps_files import read_fixes
from connectors.producers.input_files import InputFile, UnreadableFile
from connectors.sinks.kinds import EMBEDDED
from deploy.local.process import ServerFailed
from schemas.events import GpsUpdate
from schemas.writes import STORES
from streams.cli.common import AsJson, ConfigFile, Exit, err, fail, out, print_json
from streams.data_folder import FolderRefused
from streams.demo.progress import Board, Sample
from streams.demo.questions import Answer
from streams.demo.run import Demo, DemoFailed, Outcome
from streams.demo.verdict import as_json as verdict_as_json
from streams.log import configure_logging
from streams.platform import BadKafkaChoice, Platform
from streams.settings import Options, SettingsError, load

log = structlog.get_logger(__name__)

SHOWN_PROBLEMS = 20
FEWEST = 1_000
STARTING = "Kafka, Postgres and the roles are starting ..."


def command(
    count: Annotated[int, typer.Option(min=FEWEST, help="Records that enter, tables and GPS fixes included.")] = 20_000,
    kafka: Annotated[
        str,
        typer.Option(
            help="auto, real, memory or HOST:PORT. auto: kafka.bootstrap if set, else a real one (needs java and mvn, "
            "or Docker), else one in memory."
        ),
    ] = "auto",
    gps: Annotated[
        Path | None, typer.Option(help="A GPX, CSV or GeoLife .plt file instead of generated journeys.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of everything that is kept; overrides data_dir.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=10, help="Seconds after which to give up.")] = 240,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show it all: events and Postgres changes go in, every fact ends up in its store.

    Starts Kafka, an embedded Postgres and the roles, lets a few hundred travellers do what travellers do, asks the
    stores real questions, and compares every acknowledged event with what the stores hold.

    Exit codes: 0 all adds up, 1 it does not or something failed, 2 wrong options.
    """
    try:
        loaded = load(file=config, overrides={"data_dir": str(data_dir) if data_dir else None})
        _only_embedded(loaded.options)
        platform = Platform(loaded, kafka=kafka, config_file=config)
    except (SettingsError, BadKafkaChoice) as error:
        fail(str(error), Exit.USAGE)
    configure_logging("warning" if loaded.options.log.level == "info" else loaded.options.log.level, "console")
    fixes = None if gps is None else _fixes(gps)
    if not as_json:
        _introduce(platform)
    board = Board()
    quiet = as_json or not out.is_terminal
    with Live(console=err if as_json else out, refresh_per_second=4, transient=False, auto_refresh=not quiet) as live:

        def show(sample: Sample) -> None:
            board.add(sample)
            if quiet:
                err.print(board.summary(), highlight=False, soft_wrap=True)
            else:
                live.update(board.table())

        if quiet:
            err.print(STARTING)
        else:
            live.update(Spinner("dots", STARTING))
        demo = Demo(platform, count=count, seed=seed, fixes=fixes, show=show, timeout=timeout)
        try:
            outcome = demo.run()
        except (DemoFailed, ServerFailed, FolderRefused, TopicsError, KafkaUnavailable) as error:
            fail(str(error))
        except psycopg.Error as error:
            fail(f"source.dsn: {_reason(error)}")
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        print_json(_as_json(outcome, platform))
    else:
        _conclude(outcome, platform)
    answered = all(answer.rows for answer in outcome.answers)
    if not outcome.verdict.report.adds_up or not answered:
        raise typer.Exit(Exit.FAILED)


def _only_embedded(options: Options) -> None:
    """Leave with USAGE when a store is no embedded one: the questions are asked of those."""
    for store in STORES:
        kind = options.stores.of(store).kind
        if kind != EMBEDDED:
            fail(
                f"the demo shows the embedded stores, and stores.{store}.kind is {kind!r}: unset it "
                f"(TRAVELOS_STORES_{store.upper()}_KIND), or deliver to it with `travelos run`",
                Exit.USAGE,
            )


def _reason(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        # libpq quotes what it does not understand, and that may be a part of the password.
        return "no connection string; write postgresql://user:password@host/database"
    return " ".join(str(error).split())


def _fixes(path: Path) -> list[GpsUpdate]:
    found: list[GpsUpdate] = []
    try:
        with InputFile(path) as file:
            reading = read_fixes(file, path)
            for number, record in reading.records:
                if isinstance(record, GpsUpdate):
                    found.append(record)
                else:
                    err.print(
                        f"{path}, {reading.unit} {number}: {record}", highlight=False, markup=False, soft_wrap=True
                    )
    except UnreadableFile as error:
        fail(str(error), Exit.USAGE)
    if not found:
        fail(f"{path} holds no GPS fix that could be read", Exit.USAGE)
    return found


def _introduce(platform: Platform) -> None:
    kinds = {
        "named": "the Kafka that the options name",
        "real": "a real single-node Kafka",
        "docker": "Kafka in Docker",
        "memory": "Kafka in memory: nothing in it outlives this process (no java and mvn, or asked for)",
    }
    folder = escape(str(platform.loaded.options.data_dir.resolve()))
    out.print(
        f"[bold]Travel OS streams[/] on {kinds[platform.kind]}.\nEverything is kept in {folder}\n", highlight=False
    )


def _conclude(outcome: Outcome, platform: Platform) -> None:
    for answer in outcome.answers:
        out.print(_answer(answer))
    report = outcome.verdict.report
    table = Table(title="Reconciliation", title_justify="left", header_style="bold")
    for column in ("store", "must be there", "found once", "must be gone", "problems"):
        table.add_column(column, justify="left" if column == "store" else "right")
    for store in report.stores:
        cells = (store.expected, store.found, store.deleted, len(store.problems))
        table.add_row(store.store, *(f"{cell:,}" for cell in cells))
    out.print(table)
    expected = outcome.verdict.expected
    out.print(
        f"{expected.events:,} events and {expected.changes:,} row changes accounted for; "
        f"{report.letters_found} of {report.letters_expected} bad records are dead letters; "
        f"{expected.duplicates} duplicates vanished.",
        highlight=False,
    )
    if report.waiting:
        out.print(f"{report.waiting:,} events wait for a place that is in no table yet.", highlight=False)
    rejected = sum(store.rejected for store in report.stores)
    if rejected:
        out.print(f"{rejected:,} writes were rejected by their store; `travelos dlq list` says why.", highlight=False)
    problems = [*report.problems, *(problem for store in report.stores for problem in store.problems)]
    for problem in problems[:SHOWN_PROBLEMS]:
        out.print(f"[red]✗[/] {escape(problem)}", highlight=False)
    if len(problems) > SHOWN_PROBLEMS:
        out.print(f"[red]... and {len(problems) - SHOWN_PROBLEMS:,} more[/]")
    phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in outcome.seconds.items())
    folder = escape(str(platform.loaded.options.data_dir.resolve()))
    verdict = "[bold green]All adds up.[/]" if report.adds_up else "[bold red]It does not add up.[/]"
    out.print(Panel(f"{verdict}  {sum(outcome.seconds.values()):.1f} s ({phases})\nLook into {folder}", expand=False))


def _answer(answer: Answer) -> Table:
    table = Table(title=answer.question, title_justify="left", header_style="bold")
    for column in answer.columns:
        table.add_column(column)
    for row in answer.rows:
        table.add_row(*(escape(cell) for cell in row))
    if not answer.rows:
        table.add_row("[red]no answer[/]")
    return table


def _as_json(outcome: Outcome, platform: Platform) -> object:
    return {
        "kafka": platform.kind,
        "data_dir": str(platform.loaded.options.data_dir.resolve()),
        "seconds": outcome.seconds,
        "records": outcome.world.total,
        "answers": [
            {"question": one.question, "rows": [dict(zip(one.columns, row, strict=True)) for row in one.rows]}
            for one in outcome.answers
        ],
        "reconciliation": verdict_as_json(outcome.verdict),
    }
