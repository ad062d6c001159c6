"""`travelos dlq`: look at dead letters, put them back, correct or discard them."""

import json
from typing import Annotated, Any

import typer

from streams.cli.common import AsJson, ConfigFile, fail, out, print_json, print_rows, printable, with_brokers
from streams.cli.dlq_actions import discard, edit, replay
from streams.cli.letters import (
    Component,
    Error,
    Key,
    Since,
    Stage,
    Store,
    Text,
    Topic,
    Until,
    actions_of,
    filter_of,
    kind,
    letters_of,
    readable,
)
from streams.redrive import Filter, Letter, LetterState, group, original_headers

app = typer.Typer(help="Look at dead letters, put them back, correct or discard them.", no_args_is_help=True)

State = Annotated[LetterState | None, typer.Option(help="Only those with which this was done.", show_default=False)]


@app.command("list")
def list_letters(
    component: Component = "",
    stage: Stage = "",
    store: Store = "",
    error: Error = "",
    topic: Topic = "",
    message: Text = "",
    key: Key = None,
    since: Since = "",
    until: Until = "",
    state: State = None,
    each: Annotated[bool, typer.Option("--each", help="Every letter, not one line for each kind.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the dead letters by kind, the most frequent first.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
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
        state=state,
    )
    letters = letters_of(with_brokers(config), wanted)
    if each:
        rows = [_row(letter) for letter in letters]
    else:
        rows = [{"count": count, "last": last.position, **kind(last)} for last, count in group(letters)]
    print_rows(rows, as_json=as_json)


@app.command()
def show(
    position: Annotated[str, typer.Argument(help="PARTITION:OFFSET of the letter, from `dlq list`.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print one dead letter: what went wrong, and the record as it was.

    Exit codes: 0 printed, 1 there is no such letter or Kafka does not answer, 2 wrong options.
    """
    found = letters_of(with_brokers(config), Filter(positions=frozenset({position})))
    if not found:
        fail(f"there is no dead letter at {position}; `travelos dlq list --each` prints the positions")
    detail = _detail(found[0])
    if as_json:
        print_json(detail)
        return
    for name, value in detail.items():
        out.print(f"[bold]{name}[/]: ", end="")
        text = printable(value) if isinstance(value, str) else json.dumps(value)
        out.print(text, highlight=False, markup=False, soft_wrap=True)


app.command()(replay)
app.command()(edit)
app.command()(discard)


@app.command()
def audit(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print who replayed, edited or discarded which letters, the oldest first; values are told by their SHA-256.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    rows = [
        {
            "at": action.at.isoformat(),
            "by": action.by,
            "deed": action.deed,
            "position": action.position,
            "origin": action.origin,
            "found": action.found,
            "sent": action.sent,
            "why": action.why,
        }
        for action in actions_of(with_brokers(config))
    ]
    print_rows(rows, as_json=as_json)


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "at": letter.first_failed_at,
        "state": letter.state,
        "key": readable(letter.key),
        **kind(letter),
    }


def _detail(letter: Letter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "origin": letter.origin,
        "state": letter.state,
        **kind(letter),
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "key": readable(letter.key),
        "value": readable(letter.value),
        # A list, because a name may occur more than once.
        "headers": [{"name": name, "value": readable(value)} for name, value in original_headers(letter)],
    }
