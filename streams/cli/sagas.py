"""`travelos sagas`: what became of facts that go into several stores, and what to do about those that are stuck."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from connectors.producers import EventProducer, ProducerError
from schemas.sagas import (
    ENDED,
    Action,
    Moment,
    SagaCommand,
    SagaEntry,
    Status,
    encode_saga_record,
)
from streams.cli.common import (
    AsJson,
    ConfigFile,
    fail,
    have_topic,
    operator,
    out,
    print_json,
    print_rows,
    with_brokers,
)
from streams.cli.newest import Newest, sagas_of
from streams.settings import Options

SOURCE = "/travelos/sagas"
ANSWER_SECONDS = 10.0
LOOK_SECONDS = 0.2
# Those that need somebody first, those that are over last.
ORDER: Sequence[Status] = ("stuck", "compensating", "started", "waiting", "compensated", "completed")

app = typer.Typer(help="Facts of several stores: in all of them, or in none.", no_args_is_help=True)

SagaId = Annotated[str, typer.Argument(metavar="ID", help="Of the saga, from `sagas list`.", show_default=False)]
Why = Annotated[str, typer.Option(help="Told in the saga's history.")]


@app.command("list")
def list_sagas(
    status: Annotated[Status | None, typer.Option(help="Only those.", show_default=False)] = None,
    definition: Annotated[str, typer.Option(help="Only those of this kind.", show_default=False)] = "",
    subject: Annotated[str, typer.Option(help="Only those about this entity.", show_default=False)] = "",
    ended: Annotated[bool, typer.Option("--ended", help="Those that are over, too.")] = False,
    limit: Annotated[int, typer.Option(help="Print so many at most.", min=1)] = 100,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print the sagas that are not over, the stuck ones first, and of each status those that began first.

    Exit codes: 0 printed, 1 Kafka does not answer, 2 wrong options.
    """
    found = [
        entry
        for entry in sagas_of(with_brokers(config)).look().values()
        if (ended or status in ENDED or entry.status not in ENDED)
        and status in (None, entry.status)
        and definition in ("", entry.definition)
        and subject in ("", entry.subject)
    ]
    found.sort(key=lambda one: (ORDER.index(one.status), one.began_ms))
    print_rows([_row(entry) for entry in found[:limit]], as_json=as_json)
    if len(found) > limit and not as_json:
        out.print(f"{len(found) - limit} more; --limit prints them")


@app.command()
def show(saga: SagaId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print one saga: its steps, and all that happened to it: every write, receipt, compensation and command.

    Exit codes: 0 printed, 1 there is no such saga or Kafka does not answer, 2 wrong options.
    """
    entry = _entry(sagas_of(with_brokers(config)), saga)
    moments = [_moment(one, entry.began_ms) for one in entry.history]
    steps = [
        {
            "step": one.name,
            "store": one.store,
            "entity": one.entity,
            "version": one.version,
            "op": one.op,
            "status": one.status,
            "attempts": one.attempts,
            "again_at": _time(one.due_ms),
            "undo": one.undo,
            "reason": one.reason,
        }
        for one in entry.steps
    ]
    if as_json:
        print_json({**_row(entry), "event_id": entry.event_id, "steps": steps, "history": moments})
        return
    print_rows([_row(entry)], as_json=False)
    print_rows(steps, as_json=False, title="steps")
    print_rows(moments, as_json=False, title="history")


@app.command()
def retry(saga: SagaId, why: Why = "", config: ConfigFile = None) -> None:
    """Have what a saga waits for sent again at once, and be patient with it once more.

    Exit codes: 0 done, 1 refused, no such saga, or nobody answers, 2 wrong options.
    """
    _ask(with_brokers(config), saga, "retry", why)


@app.command()
def abort(saga: SagaId, why: Why = "", config: ConfigFile = None) -> None:
    """Undo a saga, in all of its stores.

    Exit codes: 0 begun, 1 refused, no such saga, or nobody answers, 2 wrong options.
    """
    _ask(with_brokers(config), saga, "abort", why)


@app.command()
def resume(saga: SagaId, why: Why = "", config: ConfigFile = None) -> None:
    """Have a stuck saga go on as if the steps that it is stuck at were done, or undone: you did them by hand.

    Exit codes: 0 done, 1 refused, no such saga, or nobody answers, 2 wrong options.
    """
    _ask(with_brokers(config), saga, "resume", why)


def _ask(options: Options, saga: str, action: Action, why: str) -> None:
    """Give a command to whoever runs a saga, and tell what came of it."""
    known = sagas_of(options)
    before = _entry(known, saga)
    if before.status in ENDED:
        fail(f"saga {saga} is over: {before.status}")
    topic = options.catalogue().saga_commands
    have_topic(options, topic)
    command = SagaCommand(id=saga, subject=before.subject, action=action, by=operator(), at=datetime.now(UTC), why=why)
    try:
        with EventProducer(options.kafka.connection(), options.catalogue(), source=SOURCE) as producer:
            producer.publish_raw(topic.name, before.subject.encode(), encode_saga_record(command))
    except ProducerError as error:
        fail(str(error))
    answer, entry = _answer(known, before, action)
    if answer.what != action:
        fail(answer.detail)
    out.print(f"{saga}: {action}, now {entry.status}", highlight=False, markup=False, soft_wrap=True)


def _answer(known: Newest[SagaEntry], before: SagaEntry, action: Action) -> tuple[Moment, SagaEntry]:
    """Return what the saga's history says of a command, once it does."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        entry = known.look().get(before.id, before)
        answer = last_answer(entry, action)
        if answer is not None and answer != last_answer(before, action):
            return answer, entry
        time.sleep(LOOK_SECONDS)  # between two looks; the condition decides
    return fail(
        f"saga {before.id} did not take the command within {ANSWER_SECONDS:.0f} s; it is in Kafka and will be taken "
        "when a worker of the role sagas runs"
    )


def last_answer(entry: SagaEntry, action: Action) -> Moment | None:
    """Return what a saga's history says last of a command. How many there were says nothing: old ones are dropped."""
    return next((one for one in reversed(entry.history) if one.what.startswith(action)), None)


def _entry(known: Newest[SagaEntry], saga: str) -> SagaEntry:
    found = known.look().get(saga)
    if found is None:
        fail(f"there is no saga {saga!r}; `travelos sagas list --ended` prints them all")
    return found


def _row(entry: SagaEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "definition": entry.definition,
        "subject": entry.subject,
        "status": entry.status,
        "began": _time(entry.began_ms),
        "last": _time(entry.at_ms),
        "due": _time(entry.due_ms),
        "why": entry.stuck,
    }


def _moment(moment: Moment, began_ms: int) -> dict[str, Any]:
    return {
        "at": _time(moment.at_ms),
        "after_ms": moment.at_ms - began_ms,
        "what": moment.what,
        "step": moment.step,
        "detail": moment.detail,
    }


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
