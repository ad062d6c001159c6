"""Dead letters: a record as it was, with the reason why it could not be processed in its headers."""

import traceback
from collections.abc import Sequence
from datetime import datetime

import structlog

from schemas.headers import VALUE_LEFT_OUT, dead_letter_headers
from streams.runtime.publisher import Outgoing, Publisher, Unpublishable
from streams.runtime.records import Record

log = structlog.get_logger(__name__)

LONGEST_TRACE = 8_000


def dead_letter(
    topic: str,
    record: Record,
    *,
    component: str,
    stage: str,
    error: Exception,
    attempts: int = 1,
    first_failed_at: datetime | None = None,
    schema: str | None = None,
    store: str | None = None,
    foreseen: bool = True,
) -> Outgoing:
    """Return the dead letter of a record: its key, bytes and headers untouched, the error's headers added.

    Args:
        topic: of dead letters.
        record: the record.
        component: the agent or role that failed.
        stage: the step within it.
        error: what went wrong; its message names the field where there is one.
        attempts: how often it was tried.
        first_failed_at: when it failed first; now when not given.
        schema: what the value was read as.
        store: the store that refused it.
        foreseen: False for an error that nobody expected; then its stack trace is kept.
    """
    trace = None if foreseen else "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
    headers = dead_letter_headers(
        record.headers,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        component=component,
        stage=stage,
        error=type(error).__name__,
        message=str(error),
        attempts=attempts,
        first_failed_at=first_failed_at,
        schema=schema,
        store=store,
        stacktrace=trace,
    )
    return Outgoing(topic, record.key, record.value, headers)


async def publish_with_letters(publisher: Publisher, letters_topic: str, records: Sequence[Outgoing]) -> None:
    """Publish records among which there are dead letters, those for `letters_topic`.

    A broker may be set to take less than what came in. A dead letter that it does not take goes out without its value,
    and says so: its headers name the topic, partition and offset where the original lies.

    Raises:
        TryAgain: Kafka is away; nothing is known of any of them.
        Unpublishable: one of the other records will never be taken.
    """
    try:
        await publisher.publish(records)
    except Unpublishable:
        letters = [record for record in records if record.topic == letters_topic]
        if not letters:
            raise
        await publisher.publish([record for record in records if record.topic != letters_topic])
        for letter in letters:
            await _publish_letter(publisher, letter)


async def _publish_letter(publisher: Publisher, letter: Outgoing) -> None:
    try:
        await publisher.publish([letter])
    except Unpublishable as error:
        log.error("dead_letter_without_value", key=letter.key, error=str(error))
        await publisher.publish([_without_value(letter)])


def _without_value(letter: Outgoing) -> Outgoing:
    size = str(len(letter.value or b"")).encode()
    return Outgoing(letter.topic, letter.key, None, (*letter.headers, (VALUE_LEFT_OUT, size)))
