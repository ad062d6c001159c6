"""What the commands about dead letters share: which are meant, reading them, and writing down what was done."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from schemas.letter_actions import LetterAction
from streams.cli.common import Exit, fail, records_of
from streams.redrive import Filter, Letter, LetterState, last_deeds, read_actions, read_letters
from streams.settings import Options

Component = Annotated[str, typer.Option(help="Only those of a role: ingest, deliver.graph, ...")]
Stage = Annotated[str, typer.Option(help="Only those of a step: decode, process, write, ...")]
Store = Annotated[str, typer.Option(help="Only those of a store.")]
Error = Annotated[str, typer.Option(help="Only those with this class of error.")]
Topic = Annotated[str, typer.Option(help="Only those of records of this topic.")]
Text = Annotated[str, typer.Option("--message", help="Only those whose reason contains this.")]
Key = Annotated[
    str | None, typer.Option(help="Only those of records with this key, as `show` prints it.", show_default=False)
]
Since = Annotated[str, typer.Option(help="Only those that failed at this time (RFC 3339) or later.")]
Until = Annotated[str, typer.Option(help="Only those that failed before this time.")]
Positions = Annotated[list[str] | None, typer.Argument(help="PARTITION:OFFSET of letters.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All letters that the filters match.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Why = Annotated[str, typer.Option(help="Written down with what is done.")]

BASE64 = "base64:"


def filter_of(
    component: str,
    stage: str,
    store: str,
    error: str,
    topic: str,
    message: str,
    key: str | None,
    since: str,
    until: str,
    *,
    state: LetterState | None = None,
    positions: frozenset[str] = frozenset(),
) -> Filter:
    """Return which letters the options of a command mean; leave with USAGE when one of them has no such form."""
    return Filter(
        component=component,
        stage=stage,
        store=store,
        error=error,
        topic=topic,
        text=message,
        key=_key_bytes(key),
        since=_moment("--since", since),
        until=_moment("--until", until),
        state=state or "",
        positions=positions,
    )


def readable(data: bytes | None) -> str | None:
    """Return bytes as text, in base64 when they are none."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return BASE64 + base64.b64encode(data).decode()


def letters_of(options: Options, wanted: Filter) -> list[Letter]:
    """Return the letters that are meant, with what was done with them; leave with FAILED when Kafka is away."""
    deeds = last_deeds(actions_of(options))
    records = records_of(options, options.catalogue().dead_letters)
    return [letter for letter in read_letters(records, deeds) if wanted.matches(letter)]


def actions_of(options: Options) -> list[LetterAction]:
    """Return what was done with letters, the oldest first; leave with FAILED when Kafka is away."""
    return read_actions(records_of(options, options.catalogue().letter_actions))


def named_letters(options: Options, wanted: Filter) -> list[Letter]:
    """Return the letters that are meant; leave with FAILED, nothing done, when one that was named is not there."""
    letters = letters_of(options, wanted)
    absent = wanted.positions - {letter.position for letter in letters}
    if absent:
        fail(f"no dead letter that matches at {', '.join(sorted(absent))}; nothing was sent")
    return letters


def kind(letter: Letter) -> dict[str, Any]:
    """Return what letters are grouped by, and the reason."""
    return {
        "component": letter.component,
        "stage": letter.stage,
        "store": letter.store,
        "error": letter.error,
        "topic": letter.topic,
        "message": letter.message,
    }


def wanted_or_leave(positions: Sequence[str] | None, *, everything: bool) -> frozenset[str]:
    """Return the positions; leave with USAGE when neither they nor all were asked for."""
    if not positions and not everything:
        fail("name the letters by their positions, or give --all", Exit.USAGE)
    return frozenset(positions or ())


def _moment(option: str, text: str) -> datetime | None:
    """Return the time of an option, UTC where it has no zone; leave with USAGE when it is none."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} must be a time such as 2026-01-31T08:00Z, got {text!r}", Exit.USAGE)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _key_bytes(text: str | None) -> bytes | None:
    """Return the key that is meant by what `show` prints; leave with USAGE when it is not of that form."""
    if text is None or not text.startswith(BASE64):
        return None if text is None else text.encode()
    try:
        return base64.b64decode(text.removeprefix(BASE64), validate=True)
    except binascii.Error:
        fail(f"--key {text!r} is no base64", Exit.USAGE)
