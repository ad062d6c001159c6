"""Send the records of a file through a producer: paced, with progress, and an honest count at the end."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from connectors.producers import DeliveryFailed, EventProducer, ProducerError
from connectors.producers.input_files import InputFile, Reading
from connectors.producers.pacing import TokenBucket
from connectors.sinks.errors import SinkError
from schemas.events import AnyEvent, InvalidEvent
from schemas.writes import EventPriority
from streams.cli.common import Exit, err
from streams.cli.interrupt import StopOnInterrupt

_LONGEST_WAIT_SECONDS = 0.1  # Ctrl-C is seen between two waits
_REDRAW_SECONDS = 0.1


class Summary(Struct, frozen=True, kw_only=True):
    """What became of a file: every record that was read is sent, unacknowledged or bad.

    `sent` counts what the brokers acknowledged, and nothing else.
    """

    read: int
    sent: int
    unacknowledged: int
    bad: int
    seconds: float
    rate: float
    interrupted: bool
    error: str | None = None

    @property
    def exit_code(self) -> Exit:
        """The exit code that says this."""
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.error is not None or self.unacknowledged:
            return Exit.FAILED
        return Exit.PARTIAL if self.bad else Exit.OK

    def document(self) -> dict[str, Any]:
        """Return it for machines."""
        return msgspec.structs.asdict(self)

    def __str__(self) -> str:
        parts = [f"{self.sent:,} sent and acknowledged"]
        if self.unacknowledged:
            parts.append(f"{self.unacknowledged:,} not acknowledged")
        if self.bad:
            parts.append(f"{self.bad:,} bad")
        parts.append(f"{self.seconds:.1f} s, {self.rate:,.0f}/s")
        return ("interrupted: " if self.interrupted else "") + ", ".join(parts)


def send(
    file: InputFile,
    reading: Reading,
    producer: EventProducer,
    *,
    rate: float | None = None,
    priority: EventPriority = "normal",
) -> Summary:
    """Send everything, or what can be sent until Ctrl-C; return once the brokers acknowledged it or it was given up on.

    A bad record is reported on standard error with its number, and the rest goes on. After the first record that the
    brokers did not acknowledge, or that cannot be sealed, no more are read. A second Ctrl-C does not wait for the
    brokers any longer.

    Args:
        file: for its name, and how far it was read.
        reading: its records.
        producer: open; it is closed at the end.
        rate: records per second; None for as fast as the brokers take them.
        priority: the lane.
    """
    started = time.monotonic()
    feed = _Feed(file.name, reading, producer, priority)
    failed: ProducerError | SinkError | None = None
    with StopOnInterrupt() as interrupt, _progress(file, producer) as redraw:
        try:
            try:
                feed.run(interrupt, _Pace(rate, producer, interrupt), redraw)
            except SinkError as error:  # keys are away, say: what was taken before is sent all the same
                failed = error
            if interrupt.stopped:
                err.print("interrupted: waiting for the brokers; Ctrl-C again gives up on what they do not acknowledge")
            producer.flush()
        except ProducerError as error:
            failed = error
        except KeyboardInterrupt:
            interrupt.stopped = True
        finally:
            given_up = _close(producer)
    error = failed or given_up
    counts, seconds = producer.counts(), time.monotonic() - started
    return Summary(
        read=feed.read,
        sent=counts.acknowledged,
        unacknowledged=feed.read - feed.bad - counts.acknowledged,
        bad=feed.bad,
        seconds=round(seconds, 3),
        rate=round(counts.acknowledged / seconds, 1) if seconds else 0,
        interrupted=interrupt.stopped,
        error=_reason(error) if error is not None else None,
    )


def _close(producer: EventProducer) -> ProducerError | None:
    try:
        producer.close(timeout=0)
    except ProducerError as error:
        return error
    return None


def _reason(error: ProducerError | SinkError) -> str:
    if isinstance(error, DeliveryFailed):  # how many they are, the summary says
        return f"the brokers did not acknowledge everything: {error.failures[0].reason}"
    return str(error)


class _Feed:
    """Takes the records of a file to the producer and counts them."""

    def __init__(self, name: str, reading: Reading, producer: EventProducer, priority: EventPriority) -> None:
        self._name = name
        self._reading = reading
        self._producer = producer
        self._priority: EventPriority = priority
        self.read = 0
        self.bad = 0

    def run(self, interrupt: StopOnInterrupt, pace: Callable[[], None], redraw: Callable[[], None]) -> None:
        for number, item in interrupt.until_stopped(self._reading.records):
            self.read += 1
            if isinstance(item, InvalidEvent):
                self._report(number, item)
            else:
                pace()
                self._publish(number, item)
            redraw()

    def _publish(self, number: int, event: AnyEvent) -> None:
        try:
            self._producer.publish(event, priority=self._priority)
        except InvalidEvent as error:
            self._report(number, error)

    def _report(self, number: int, error: InvalidEvent) -> None:
        self.bad += 1
        err.print(
            f"{self._name}: {self._reading.unit} {number}: {error}", markup=False, highlight=False, soft_wrap=True
        )


class _Pace:
    """Waits, when there is a rate, until the next record is due; the producer works meanwhile."""

    def __init__(self, rate: float | None, producer: EventProducer, interrupt: StopOnInterrupt) -> None:
        self._bucket = TokenBucket(rate, time.monotonic()) if rate is not None else None
        self._producer = producer
        self._interrupt = interrupt

    def __call__(self) -> None:
        while (
            self._bucket is not None and (wait := self._bucket.take(time.monotonic())) and not self._interrupt.stopped
        ):
            self._producer.serve(min(wait, _LONGEST_WAIT_SECONDS))


@contextmanager
def _progress(file: InputFile, producer: EventProducer) -> Generator[Callable[[], None]]:
    """Show a bar on a terminal; yield what redraws it."""
    if not err.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as progress:
        task = progress.add_task(file.name, total=file.size, state="")
        drawn = time.monotonic()

        def redraw() -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= _REDRAW_SECONDS:
                drawn = now
                sent = producer.counts().acknowledged
                progress.update(task, completed=file.position, state=f"{sent:,} acknowledged")

        yield redraw
