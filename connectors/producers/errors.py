"""What can go wrong with publishing, besides an invalid event (`schemas.events.InvalidEvent`)."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from schemas.events import AnyEvent
from schemas.headers import Headers


class RawRecord(Struct, frozen=True):
    """A record that is no typed event: bytes as they are."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Failure(NamedTuple):
    """An event (with the version it was sent with) or raw record that no broker acknowledged, and why."""

    event: AnyEvent | RawRecord
    reason: str


class ProducerError(Exception):
    """Base of the errors of publishing."""


class NotOpen(ProducerError):  # noqa: N818 - reads as a state, as the others do
    """The producer was not opened, or was closed: use it as a context manager or call `open()`."""


class Unreachable(ProducerError):  # noqa: N818
    """No broker answered; the message names the address and the last error of the connection."""


class TopicMissing(ProducerError):  # noqa: N818
    """The cluster answers, but lacks topics that events go to; the message names them."""


class QueueFull(ProducerError):  # noqa: N818
    """There was no room for a record in time: the brokers are slow or away. This record was not accepted."""


class Refused(ProducerError):  # noqa: N818
    """The client will never take this record (too large, for one), or none any more after a fatal error."""


class LargeValueNotStored(ProducerError):  # noqa: N818
    """The object store does not take the value of an event now; the event was not accepted."""


class FlushTimedOut(ProducerError):  # noqa: N818
    """The time given to `flush` passed; `pending` records are still on their way."""

    def __init__(self, pending: int, timeout: float) -> None:
        super().__init__(f"{pending} records were not acknowledged within {timeout:g} s; they are still on their way")
        self.pending = pending


class DeliveryFailed(ProducerError):  # noqa: N818
    """Accepted records were given up on. `failures` holds each once: publish those events again, or keep them.

    An event in it carries the version it was sent with, so publishing it again repeats the same fact.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        count, first = len(failures), failures[0]
        name = f"record for {first.event.topic}" if isinstance(first.event, RawRecord) else first.event.event_id
        super().__init__(f"{count} records were not acknowledged; the first, {name}: {first.reason}")
        self.failures = tuple(failures)
