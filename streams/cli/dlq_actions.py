"""What `travelos dlq` does with letters: replay, edit, discard. Each deed is written down with who, when and what."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from connectors.producers import EventProducer, ProducerError
from schemas.letter_actions import Deed, encode_action
from schemas.sagas import saga_of
from streams.cli.common import (
    AsJson,
    ConfigFile,
    Exit,
    err,
    fail,
    have_topic,
    operator,
    out,
    print_json,
    printable,
    with_brokers,
)
from streams.cli.letters import (
    Component,
    DryRun,
    Error,
    Everything,
    Key,
    Positions,
    Since,
    Stage,
    Store,
    Text,
    Topic,
    Until,
    Why,
    filter_of,
    named_letters,
    wanted_or_leave,
)
from streams.cli.newest import sagas_of
from streams.corrections import BadCorrection, corrected, problem_of, taken_back
from streams.redrive import Filter, Letter, action_on, original_headers
from streams.settings import Options

SOURCE = "/travelos/dlq"


def replay(
    positions: Positions = None,
    everything: Everything = False,
    component: Component = "",
    stage: Stage = "",
    store: Store = "",
    error: Error = "",
    topic: Topic = "",
    message: Text = "",
    key: Key = None,
    since: Since = "",
    until: Until = "",
    again: Annotated[bool, typer.Option("--again", help="Also those that were dealt with before.")] = False,
    why: Why = "",
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send records of dead letters to their topics again, as they were.

    Harmless to repeat: letters that were dealt with are passed over, events are known by their id and writes by their
    version. The letters themselves stay. What would fail again by the schemas of today is told; `edit` corrects it.

    Exit codes: 0 all were sent, 1 there is no such letter or Kafka does not answer, 2 wrong options, 3 the value of
    some had been left out.
    """
    wanted = filter_of(
        component,
        stage,
        store,
        error,
        topic,
        message,
        key,
        since,
        until,
        positions=wanted_or_leave(positions, everything=everything),
    )
    options = with_brokers(config)
    letters = named_letters(options, wanted)
    due = [letter for letter in letters if again or letter.state == "open"]
    whole = [letter for letter in due if not letter.value_left_out]
    if not dry_run and whole:
        _carry_out(options, "replayed", [(letter, letter.key, letter.value) for letter in whole], why)
    for letter in due:
        if letter.value_left_out:
            _tell(f"{letter.position}: its value was left out; it lies at {letter.origin}")
    summary = {
        "sent": 0 if dry_run else len(whole),
        "would_send": len(whole),
        "without_value": len(due) - len(whole),
        "dealt_with_before": len(letters) - len(due),
        "would_fail_again": _tell_of_those_that_fail_again(options, whole),
        "taken_back": _tell_of_those_taken_back(options, whole),
    }
    if as_json:
        print_json(summary)
    else:
        out.print(f"{'would send' if dry_run else 'sent'} {len(whole)} of {len(letters)} records", highlight=False)
        if len(due) < len(letters):
            out.print(f"{len(letters) - len(due)} were dealt with before; --again takes them, too", highlight=False)
    if len(whole) < len(due):
        raise typer.Exit(Exit.PARTIAL)


def edit(
    position: Annotated[str, typer.Argument(help="PARTITION:OFFSET of the letter, from `dlq list`.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="PATH=VALUE: one part of a JSON value; may be repeated.", show_default=False),
    ] = None,
    value: Annotated[
        Path | None,
        typer.Option("--value", help="File with the whole new value; - for standard input.", show_default=False),
    ] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Send it even if it would fail again.")] = False,
    why: Why = "",
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Correct the value of a dead letter and send the record to its topic, with its key and headers as they were.

    Without --set and --value it is opened in $EDITOR. The new value is checked against the schema first.

    Exit codes: 0 sent (with --dry-run: would be), 1 there is no such letter, it would fail again, or Kafka does not
    answer, 2 wrong options.
    """
    if settings and value:
        fail("give --set or --value, not both", Exit.USAGE)
    options = with_brokers(config)
    (letter,) = named_letters(options, Filter(positions=frozenset({position})))
    new = _new_value(letter, settings or [], value)
    problem = problem_of(letter.topic, letter.key, new, options.catalogue())
    if problem is not None and not unchecked:
        fail(f"it would fail again, so nothing was sent: {problem}")
    if new == letter.value and not unchecked:
        fail("nothing was changed, so nothing was sent; `travelos dlq replay` sends it as it is")
    _tell_of_those_taken_back(options, [letter])
    if not dry_run:
        _carry_out(options, "edited", [(letter, letter.key, new)], why)
    if as_json:
        print_json({"sent": int(not dry_run), "value": new.decode("utf-8", "replace"), "problem": problem})
    else:
        said = f"{'would send' if dry_run else 'sent'} {letter.position} to {letter.topic}: "
        out.print(said + printable(new.decode("utf-8", "replace")), highlight=False, markup=False, soft_wrap=True)


def discard(
    positions: Positions = None,
    everything: Everything = False,
    component: Component = "",
    stage: Stage = "",
    store: Store = "",
    error: Error = "",
    topic: Topic = "",
    message: Text = "",
    key: Key = None,
    since: Since = "",
    until: Until = "",
    why: Why = "",
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Note that dead letters need nothing more. `replay` passes them over; they stay until their topic forgets them.

    Exit codes: 0 noted, 1 there is no such letter or Kafka does not answer, 2 wrong options.
    """
    wanted = filter_of(
        component,
        stage,
        store,
        error,
        topic,
        message,
        key,
        since,
        until,
        positions=wanted_or_leave(positions, everything=everything),
    )
    options = with_brokers(config)
    letters = named_letters(options, wanted)
    due = [letter for letter in letters if letter.state == "open"]
    if not dry_run and due:
        _carry_out(options, "discarded", [(letter, None, None) for letter in due], why)
    done = 0 if dry_run else len(due)
    if as_json:
        summary = {"discarded": done, "would_discard": len(due), "dealt_with_before": len(letters) - len(due)}
        print_json(summary)
    else:
        said = "would discard" if dry_run else "discarded"
        out.print(f"{said} {len(due)} of {len(letters)} letters", highlight=False)


def _carry_out(
    options: Options, deed: Deed, letters: Sequence[tuple[Letter, bytes | None, bytes | None]], why: str
) -> None:
    """Send the records, wait until they are acknowledged, and then write down that it was done.

    The other way round a crash in between would leave a letter that counts as dealt with and is not.
    """
    catalogue, by, at = options.catalogue(), operator(), datetime.now(UTC)
    have_topic(options, catalogue.letter_actions)
    try:
        with EventProducer(options.kafka.connection(), catalogue, source=SOURCE) as producer:
            if deed != "discarded":
                for letter, key, value in letters:
                    producer.publish_raw(letter.topic, key, value, original_headers(letter))
                producer.flush()
            for letter, _, value in letters:
                action = action_on(letter, deed, by=by, at=at, sent=value, why=why)
                producer.publish_raw(catalogue.letter_actions.name, letter.position.encode(), encode_action(action))
    except ProducerError as error:
        fail(str(error))


def _new_value(letter: Letter, settings: Sequence[str], file: Path | None) -> bytes:
    if file is not None:
        read: Callable[[], bytes] = sys.stdin.buffer.read if str(file) == "-" else file.read_bytes
        try:
            return read()
        except OSError as error:
            fail(f"--value {file} cannot be read: {error.strerror}", Exit.USAGE)
    if settings:
        try:
            return corrected(letter.value, settings)
        except BadCorrection as error:
            fail(f"--set: {error}", Exit.USAGE)
    if letter.value is None:
        fail(f"{letter.position} has no value; give the whole value with --value", Exit.USAGE)
    try:
        text = letter.value.decode()
    except UnicodeDecodeError:
        fail(f"the value of {letter.position} is no text; give the whole value with --value", Exit.USAGE)
    edited: Any = click.edit(text, extension=".json")
    return letter.value if edited is None else str(edited).removesuffix("\n").encode()


def _tell_of_those_that_fail_again(options: Options, letters: Sequence[Letter]) -> int:
    catalogue = options.catalogue()
    problems = [
        (letter, problem)
        for letter in letters
        if (problem := problem_of(letter.topic, letter.key, letter.value, catalogue)) is not None
    ]
    for letter, problem in problems:
        _tell(f"{letter.position}: fails again: {problem}")
    return len(problems)


def _tell_of_those_taken_back(options: Options, letters: Sequence[Letter]) -> int:
    """Tell of writes whose sagas have taken them back: sent again they change nothing, and nobody says so."""
    named = [(letter, saga[0].decode()) for letter in letters if (saga := saga_of(letter.headers)) is not None]
    if not named:
        return 0
    sagas, catalogue, found = sagas_of(options).look(), options.catalogue(), 0
    for letter, name in named:
        saga = sagas.get(name)
        if saga is None:
            _tell(f"{letter.position}: its saga {name} is forgotten; if it took this back, nothing changes")
        elif taken_back(letter.topic, letter.value, saga, catalogue):
            found += 1
            _tell(
                f"{letter.position}: its saga {name} has taken it back ({saga.status}), so its store will answer that "
                "it comes too late; publish the fact again under an event_id of its own"
            )
    return found


def _tell(text: str) -> None:
    err.print(printable(text), highlight=False, markup=False, soft_wrap=True)
