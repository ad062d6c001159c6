"""`travelos dlq`: look at dead letters and put them back."""

import base64
import json
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException

from connectors.kafka.errors import error_of
from connectors.kafka.reading import read_topics
from connectors.producers import EventProducer, ProducerError
from streams.cli.common import (
    AsJson,
    ConfigFile,
    Exit,
    err,
    fail,
    load_options,
    out,
    print_json,
    print_rows,
    printable,
)
from streams.redrive import Filter, Letter, group, original_headers, read_letters
from streams.settings import Options

SOURCE = "/travelos/dlq"

app = typer.Typer(help="Look at dead letters and put them back.", no_args_is_help=True)

Component = Annotated[str, typer.Option(help="Only those of a role: ingest, deliver.graph, ...")]
Stage = Annotated[str, typer.Option(help="Only those of a step: decode, process, write, ...")]
Store = Annotated[str, typer.Option(help="Only those of a store.")]
Error = Annotated[str, typer.Option(help="Only those with this class of error.")]
Topic = Annotated[str, typer.Option(help="Only those of records of this topic.")]
Text = Annotated[str, typer.Option("--message", help="Only those whose reason contains this.")]


@app.command("list")
def list_letters(
    component: Component = "",
    stage: Stage = "",
    store: Store = "",
    error: Error = "",
    topic: Topic = "",
    message: Text = "",
    each: Annotated[bool, typer.Option("--each", help="Every letter, not one line for each kind.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the dead letters by kind, the most frequent first.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    wanted = Filter(component=component, stage=stage, store=store, error=error, topic=topic, text=message)
    letters = _letters(_options(config), wanted)
    if each:
        rows = [{"position": one.position, "at": one.first_failed_at, **_kind(one)} for one in letters]
    else:
        rows = [{"count": count, "last": last.position, **_kind(last)} for last, count in group(letters)]
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
    found = _letters(_options(config), Filter(positions=frozenset({position})))
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


@app.command()
def replay(
    positions: Annotated[
        list[str] | None, typer.Argument(help="PARTITION:OFFSET of letters.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters that the filters match.")] = False,
    component: Component = "",
    stage: Stage = "",
    store: Store = "",
    error: Error = "",
    topic: Topic = "",
    message: Text = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send records of dead letters to their topics again, as they were.

    Harmless to repeat: events are known by their id and writes by their version. The letters themselves stay.

    Exit codes: 0 all were sent, 1 there is no such letter or Kafka does not answer, 2 wrong options, 3 the value of
    some had been left out.
    """
    if not positions and not everything:
        fail("name the letters by their positions, or give --all", Exit.USAGE)
    wanted = Filter(
        component=component,
        stage=stage,
        store=store,
        error=error,
        topic=topic,
        text=message,
        positions=frozenset(positions or ()),
    )
    options = _options(config)
    letters = _letters(options, wanted)
    absent = wanted.positions - {letter.position for letter in letters}
    if absent:
        fail(f"no dead letter that matches at {', '.join(sorted(absent))}; nothing was sent")
    whole = [letter for letter in letters if not letter.value_left_out]
    if not dry_run and whole:
        _send(options, whole)
    for letter in letters:
        if letter.value_left_out:
            said = printable(f"{letter.position}: its value was left out; it lies at {_origin(letter)}")
            err.print(said, highlight=False, markup=False, soft_wrap=True)
    summary = {
        "sent": 0 if dry_run else len(whole),
        "would_send": len(whole),
        "without_value": len(letters) - len(whole),
    }
    if as_json:
        print_json(summary)
    else:
        out.print(f"{'would send' if dry_run else 'sent'} {len(whole)} of {len(letters)} records", highlight=False)
    if len(whole) < len(letters):
        raise typer.Exit(Exit.PARTIAL)


def _options(config: Any) -> Options:
    options = load_options(config)
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)", Exit.USAGE)
    return options


def _letters(options: Options, wanted: Filter) -> list[Letter]:
    try:
        records = read_topics(options.kafka.connection(), [options.catalogue().dead_letters.name])
    except KafkaException as error:
        fail(f"kafka.bootstrap {options.kafka.bootstrap}: {error_of(error).str()}")
    return [letter for letter in read_letters(records) if wanted.matches(letter)]


def _send(options: Options, letters: list[Letter]) -> None:
    try:
        with EventProducer(options.kafka.connection(), options.catalogue(), source=SOURCE) as producer:
            for letter in letters:
                producer.publish_raw(letter.topic, letter.key, letter.value, original_headers(letter))
    except ProducerError as error:
        fail(str(error))


def _kind(letter: Letter) -> dict[str, Any]:
    return {
        "component": letter.component,
        "stage": letter.stage,
        "store": letter.store,
        "error": letter.error,
        "topic": letter.topic,
        "message": letter.message,
    }


def _detail(letter: Letter) -> dict[str, Any]:
    return {
        "position": letter.position,
        "origin": _origin(letter),
        **_kind(letter),
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "key": _readable(letter.key),
        "value": _readable(letter.value),
        # A list, because a name may occur more than once.
        "headers": [{"name": name, "value": _readable(value)} for name, value in original_headers(letter)],
    }


def _origin(letter: Letter) -> str:
    return f"{letter.topic}-{letter.partition}@{letter.offset}"


def _readable(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()
