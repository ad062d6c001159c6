"""`travelos conflicts`: what sources contradict each other about, and who decides."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer

from connectors.producers import EventProducer, ProducerError
from schemas.conflicts import (
    ConflictCommand,
    ConflictEntry,
    Status,
    encode_conflict_record,
)
from streams.cli.common import (
    AsJson,
    ConfigFile,
    Exit,
    fail,
    have_topic,
    operator,
    out,
    print_json,
    print_rows,
    with_brokers,
)
from streams.cli.newest import Newest, conflicts_of

SOURCE = "/travelos/conflicts"
ANSWER_SECONDS = 10.0
LOOK_SECONDS = 0.2
# Those that need somebody first.
ORDER: Sequence[Status] = ("undecided", "decided", "taken back", "settled")

app = typer.Typer(help="What sources contradict each other about.", no_args_is_help=True)

Entity = Annotated[str, typer.Argument(metavar="ENTITY", help="As `conflicts list` names it.", show_default=False)]


@app.command("list")
def list_conflicts(
    status: Annotated[Status, typer.Option(help="Only those.")] = "undecided",
    every: Annotated[
        bool, typer.Option("--all", help="The last conflict of every entity, whatever came of it.")
    ] = False,
    limit: Annotated[int, typer.Option(help="Print so many at most.", min=1)] = 100,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the conflicts that wait for a decision, the oldest first.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    told = conflicts_of(with_brokers(config)).look()
    found = [entry for entry in told.values() if every or entry.status == status]
    found.sort(key=lambda one: (ORDER.index(one.status), one.began_ms))
    print_rows([_row(entry) for entry in found[:limit]], as_json=as_json)
    if len(found) > limit and not as_json:
        out.print(f"{len(found) - limit} more; --limit prints them")


@app.command()
def show(entity: Entity, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the last conflict of an entity: what each source says, what holds, who decided.

    Exit codes: 0 printed, 1 there is none or Kafka does not answer, 2 wrong options.
    """
    entry = _entry(conflicts_of(with_brokers(config)), entity)
    verdict = entry.verdict
    sides = [
        {
            "source": side.source,
            "version": side.version,
            "at": _time(side.at_ms),
            "confidence": side.confidence,
            "region": side.region,
            "content": side.content,
        }
        for side in entry.sides
    ]
    agreed = {"version": entry.agreed_version, "content": entry.agreed}
    said = None if verdict is None else {"by": verdict.by, "at": verdict.at.isoformat(), "why": verdict.why}
    if said is not None and verdict is not None:
        said["refused"] = verdict.refused
    if as_json:
        print_json({**_row(entry), "table": entry.table, "sides": sides, "agreed": agreed, "verdict": said})
        return
    print_rows([_row(entry)], as_json=False)
    print_rows([_readable(side) for side in sides], as_json=False, title="sides")
    print_rows([_readable(agreed)], as_json=False, title="holds")
    if said is not None:
        print_rows([said], as_json=False, title="decision")


@app.command()
def resolve(
    entity: Entity,
    take: Annotated[str, typer.Option(metavar="SOURCE", help="What this source says holds.", show_default=False)] = "",
    content: Annotated[str, typer.Option(metavar="JSON", help="This row holds.", show_default=False)] = "",
    gone: Annotated[bool, typer.Option("--gone", help="The row is gone.")] = False,
    why: Annotated[str, typer.Option(help="Told in the topic of conflicts.")] = "",
    config: ConfigFile = None,
) -> None:
    """Decide a conflict that waits for it. Who decided, when and why is kept.

    Exit codes: 0 decided, 1 refused, there is none, or nobody answers, 2 wrong options.
    """
    if (take != "") + (content != "") + gone != 1:
        fail("say what holds: one of --take SOURCE, --content JSON and --gone", Exit.USAGE)
    options = with_brokers(config)
    known = conflicts_of(options)
    entry = _entry(known, entity)
    if entry.status != "undecided":
        fail(f"the last conflict of {entity} waits for nobody: {entry.status}")
    command = ConflictCommand(
        id=entry.id,
        entity=entity,
        seen={side.source: side.version for side in entry.sides},
        content=None if gone else _row_of(content) if content else _side(entry, take),
        by=operator(),
        at=datetime.now(UTC),
        why=why,
    )
    topic = options.catalogue().conflict_commands
    have_topic(options, topic)
    try:
        with EventProducer(options.kafka.connection(), options.catalogue(), source=SOURCE) as producer:
            producer.publish_raw(topic.name, entity.encode(), encode_conflict_record(command))
    except ProducerError as error:
        fail(str(error))
    _await_answer(known, command)
    out.print(f"{entity}: decided", highlight=False, markup=False, soft_wrap=True)


def _await_answer(known: Newest[ConflictEntry], command: ConflictCommand) -> None:
    """Return once a decision holds; leave with FAILED when it does not, or nobody says so in time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        entry = known.look().get(command.entity)
        if entry is None:
            fail(f"{command.entity} was forgotten meanwhile")
        verdict = entry.verdict
        if verdict is not None and (verdict.by, verdict.at) == (command.by, command.at):
            if verdict.refused:
                fail(f"{command.entity}: {verdict.refused}")
            return
        if entry.id != command.id or entry.status != "undecided":
            fail(f"{command.entity} was settled meanwhile: {entry.status}; `travelos conflicts show` tells how")
        time.sleep(LOOK_SECONDS)  # between two looks; the condition decides
    fail(
        f"{command.entity} did not take the decision within {ANSWER_SECONDS:.0f} s; it is in Kafka and will be taken "
        "when a worker of the role ingest runs whose options give this type a strategy"
    )


def _entry(known: Newest[ConflictEntry], entity: str) -> ConflictEntry:
    found = known.look().get(entity)
    if found is None:
        fail(f"there is no conflict about {entity!r}; `travelos conflicts list --all` prints them all")
    return found


def _side(entry: ConflictEntry, source: str) -> dict[str, Any] | None:
    for side in entry.sides:
        if side.source == source:
            return side.content
    return fail(
        f"{source!r} says nothing in this conflict; it is between {', '.join(one.source for one in entry.sides)}"
    )


def _row_of(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        return fail(f"--content is no JSON: {error}", Exit.USAGE)
    if not isinstance(found, dict):
        return fail("--content must be a JSON object: all columns of the row", Exit.USAGE)
    return cast("dict[str, Any]", found)


def _row(entry: ConflictEntry) -> dict[str, Any]:
    return {
        "entity": entry.entity,
        "status": entry.status,
        "strategy": entry.strategy,
        "sources": ", ".join(side.source for side in entry.sides),
        "began": _time(entry.began_ms),
        "last": _time(entry.at_ms),
        "id": entry.id,
    }


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "content": json.dumps(row["content"], ensure_ascii=False)}


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
