"""`travelos erase`: ask for the erasure of a person, and wait for its certificate."""

import time
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

import typer
from msgspec import to_builtins

from connectors.producers import EventProducer, ProducerError
from schemas.erasures import Certificate, StoreAnswer, decode_erasure_record
from schemas.events import ErasureRequested, InvalidEvent
from streams.cli.common import AsJson, ConfigFile, Exit, fail, have_topic, out, print_json, records_of, with_brokers
from streams.cli.newest import erasures_of
from streams.settings import Options

SOURCE = "/travelos/erase"
LOOK_SECONDS = 0.5


def command(
    user: Annotated[str, typer.Argument(metavar="USER", help="Id of the person.", show_default=False)],
    wait: Annotated[float, typer.Option(help="Seconds to wait for the certificate; 0: only ask.", min=0)] = 1_200,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person: from every store, the topics' future and the caches; destroy their key; certify it.

    From the moment that the request is taken nothing new of them goes through. It goes on whatever becomes of this
    command; `travelos erasure list` says how far it is.

    Exit codes: 0 certified (or asked, with --wait 0), 1 Kafka does not answer, or it is not over in time, 2 wrong
    options.
    """
    options = with_brokers(config)
    if not options.erasure.enabled:
        fail("nobody would carry it out: set erasure.enabled (TRAVELOS_ERASURE_ENABLED) for all roles", Exit.USAGE)
    have_topic(options, options.catalogue().user_events)
    asked = _ask(options, user)
    if not wait:
        out.print(f"asked: {asked}", highlight=False, markup=False, soft_wrap=True)
        return
    certificate = _certificate(options, user, asked, wait)
    if as_json:
        print_json(to_builtins(certificate))
        return
    statement = certificate.statement
    for store, answer in statement.stores.items():
        out.print(f"{store:<11} {answer.deleted:>7} deleted, {_holds(answer)}", highlight=False, markup=False)
        if answer.keeps:
            out.print(f"{'':<11} its files keep {answer.keeps}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"certified: {asked}, key {statement.key}", highlight=False, markup=False, soft_wrap=True)


def _holds(answer: StoreAnswer) -> str:
    """Return what a store's answer means: one that cannot be searched by a person knows only what it was asked for."""
    return "holds nothing" if answer.searched else f"holds nothing of the {answer.asked} it was asked for, not searched"


def _ask(options: Options, user: str) -> str:
    """Publish the request, as an application would, and return its id."""
    try:
        event = ErasureRequested(event_id=f"erase-{uuid4()}", user_id=user, occurred_at=datetime.now(UTC))
        with EventProducer(options.kafka.connection(), options.catalogue(), source=SOURCE) as producer:
            producer.publish(event)
    except InvalidEvent as error:
        fail(str(error), Exit.USAGE)
    except ProducerError as error:
        fail(str(error))
    return event.event_id


def _certificate(options: Options, user: str, asked: str, seconds: float) -> Certificate:
    deadline = time.monotonic() + seconds
    waits_for = "it was not taken up: do the roles ingest and erasure run?"
    known = erasures_of(options)
    while time.monotonic() < deadline:
        erasure = known.look().get(user)
        if erasure is not None and erasure.id == asked:
            if erasure.step == "over":
                return next(
                    decode_erasure_record(record.value, Certificate)
                    for record in records_of(options, options.catalogue().erasures)
                    if record.key == asked.encode()
                )
            waits_for = f"it is at the step {erasure.step}" + (f": {erasure.reason}" if erasure.reason else "")
        time.sleep(LOOK_SECONDS)  # between two looks; the condition decides
    return fail(f"{asked} is not over within {seconds:g} s and goes on; {waits_for}")
