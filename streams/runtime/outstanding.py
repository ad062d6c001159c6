# pyright: reportPrivateUsage=false
"""Which records that Faust sent are not reported yet, and whether one has failed: what a commit must know."""

import asyncio
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError
from msgspec import Struct

from streams.runtime.sending import PublishFailed, Unpublishable

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

_ADVICE = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic, or send less; then restart the worker",
    KafkaError.RECORD_LIST_TOO_LARGE: "raise max.message.bytes and segment.bytes of the topic; then restart the worker",
    KafkaError.INVALID_RECORD: "the topic does not take such records (a compacted one takes none without a key)",
    KafkaError._UNKNOWN_TOPIC: "create the topic",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create the topic",
    KafkaError._UNKNOWN_PARTITION: "send to a partition that the topic has",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant WRITE on the topic to the user of this worker",
}


class DeliveryFailure(Struct, frozen=True, kw_only=True):
    """A record that was not delivered. `permanent`: doing its work again would fail in the same way."""

    topic: str
    error: str
    permanent: bool
    advice: str

    @classmethod
    def of(cls, topic: str, error: Exception) -> "DeliveryFailure":
        """Return what an error of a delivery means."""
        code = error.code if isinstance(error, PublishFailed | Unpublishable) else None
        permanent = not isinstance(error, PublishFailed)
        otherwise = "mend it and restart the worker" if permanent else "the work that sent it is done again"
        advice = otherwise if code is None else _ADVICE.get(code, otherwise)
        return cls(topic=topic, error=str(error), permanent=permanent, advice=advice)

    @property
    def message(self) -> str:
        """What to tell."""
        return f"{self.error}; {self.advice}"


class Stretch:
    """The records sent between two flushes."""

    __slots__ = ("_done", "left")

    def __init__(self) -> None:
        self.left = 0
        self._done = asyncio.Event()


class Outstanding:
    """Counts what was sent and not reported. A flush seals what was sent before it, and waits for that alone.

    A failure is kept until its work is begun again (`begin_again`), which is due after a pause that grows; a permanent
    one is never due.

    Args:
        now: a clock in seconds that is never set back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._current = Stretch()
        self._sealed: list[Stretch] = []
        self._pause = FIRST_PAUSE_SECONDS
        self._due = 0.0
        self._failed_at = 0.0
        self.failure: DeliveryFailure | None = None
        self.failures = 0  # all there were

    def sent(self) -> Stretch:
        """Note that a record is sent; `reported` wants what is returned."""
        self._current.left += 1
        return self._current

    def reported(self, stretch: Stretch) -> None:
        """Note that one record of a stretch is acknowledged, or has failed."""
        stretch.left -= 1
        if not stretch.left and stretch is not self._current:
            stretch._done.set()
            self._sealed.remove(stretch)

    def failed(self, failure: DeliveryFailure) -> None:
        """Note that a record was not delivered; the first one is told, and a permanent one takes its place."""
        self.failures += 1
        now = self._now()
        if now - self._failed_at > 2 * LONGEST_PAUSE_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._failed_at = now
        if self.failure is not None and (self.failure.permanent or not failure.permanent):
            return
        self.failure = failure
        self._due = now + self._pause
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
        log.error(
            "record_not_delivered",
            topic=failure.topic,
            error=failure.error,
            permanent=failure.permanent,
            advice=failure.advice,
        )

    def seal(self) -> None:
        """Draw a line: `settled` waits for what was sent before it."""
        if self._current.left:
            self._sealed.append(self._current)
            self._current = Stretch()

    @property
    def unsettled(self) -> int:
        """Number of records sent before the last line and not reported."""
        return sum(stretch.left for stretch in self._sealed)

    async def settled(self) -> None:
        """Return when everything before the last line is reported."""
        for stretch in list(self._sealed):
            await stretch._done.wait()

    @property
    def due(self) -> bool:
        """Whether the work since the last commit should be done again now."""
        return self.failure is not None and not self.failure.permanent and self._now() >= self._due

    def begin_again(self) -> None:
        """Note that the work since the last commit is done again, whatever has failed in it."""
        self.failure = None
