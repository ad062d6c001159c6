"""What goes into a trial: numbered events, some of them twice, and the log of what was acknowledged."""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from bench.chaos.events import GOOD, Does, Event, Sent
from connectors.kafka.connection import Connection

KEYS = 500
REPEATED = 0.02  # of the events are sent a second time, as a client does that missed an acknowledgement
RECENT = 1_000  # a repeat comes at most so many events after the first
CHUNK = 100
REPORTS_SECONDS = 0.05  # acknowledgements are noted at least this often
ACKNOWLEDGED_WITHIN_SECONDS = 120.0

_encode = msgspec.json.Encoder().encode


class NotAcknowledged(RuntimeError):  # noqa: N818 - says what happened
    """The brokers refused input, or did not take it in time: the trial says nothing about the runtime."""


class Load:
    """Sends events in a thread of its own, up to a limit that the scenario moves on.

    Args:
        connection: how to reach the brokers.
        topic: of the input.
        seed: of all choices.
        per_second: at most so many events.
    """

    def __init__(self, connection: Connection, topic: str, seed: int, *, per_second: float) -> None:
        self.sent: list[Sent] = []  # what was acknowledged, in the order in which that was told
        self._topic = topic
        self._random = random.Random(f"load {seed}")
        self._pause = CHUNK / per_second
        # Brokers that are away for a minute must not end a trial.
        config = {**connection.producer(), "linger.ms": 5, "delivery.timeout.ms": 0, "log_level": 2}
        self._producer = Producer(config)
        self._places: Counter[str] = Counter()
        self._recent: deque[tuple[str, Event]] = deque(maxlen=RECENT)
        self._next = 0
        self._limit = 0
        self._refused: str | None = None
        self._closing = threading.Event()
        self._move = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    @property
    def produced(self) -> int:
        """Number of events handed to the producer; repeats do not count."""
        return self._next

    @property
    def limit(self) -> int:
        """How many events were asked for so far."""
        return self._limit

    @property
    def settled(self) -> bool:
        """Whether all that was asked for so far is acknowledged."""
        return self._next >= self._limit and not len(self._producer)

    def up_to(self, limit: int) -> None:
        """Have events sent until there are `limit` of them; returns at once."""
        with self._move:
            self._limit = max(limit, self._limit)
            self._move.notify_all()

    def special(self, does: Does, *, count: int = 1, key: str | None = None) -> None:
        """Send events that do something, at once and in a row; all of one key when it is given."""
        with self._move:
            for _ in range(count):
                self._send_new(does, key)

    def undecodable(self, count: int, *, key: str | None = None) -> None:
        """Send records that are no events at all, at once and in a row; all of one key when it is given."""
        with self._move:
            for _ in range(count):
                number, self._next = self._next, self._next + 1
                at = key or self._key()
                self._produce(at, Event(number, 0), b"\x00 this is no event")

    def once_for_each_key(self) -> None:
        """Send one more event for each key that has any, so that whoever holds their state tells what it is."""
        with self._move:
            for key in sorted(self._places):
                self._send_new("", key)

    def settle(self) -> list[Sent]:
        """Return everything that was sent, once all that was asked for is acknowledged.

        Raises:
            NotAcknowledged: some of it was not.
        """
        with self._move:
            self._move.wait_for(lambda: self._next >= self._limit or self._closing.is_set())
        left = self._producer.flush(ACKNOWLEDGED_WITHIN_SECONDS)
        if left or self._refused is not None:
            raise NotAcknowledged(f"{left} records were not acknowledged; last error: {self._refused}")
        return self.sent

    def close(self) -> None:
        """Stop sending; what is queued is dropped."""
        self._closing.set()
        with self._move:
            self._move.notify_all()
        self._thread.join()
        self._producer.purge()
        self._producer.flush(1)

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._move:
                self._move.wait_for(lambda: self._next < self._limit or self._closing.is_set(), REPORTS_SECONDS)
                for _ in range(min(CHUNK, self._limit - self._next)):
                    self._send_new()
                self._move.notify_all()
            self._producer.poll(0)
            time.sleep(self._pause)  # this is the pace

    def _key(self) -> str:
        return f"k{self._random.randrange(KEYS)}"

    def _send_new(self, does: Does = "", key: str | None = None) -> None:
        number, self._next = self._next, self._next + 1
        key = key or self._key()
        if does not in GOOD:
            self._send(key, Event(number, 0, does))
            return
        self._places[key] += 1
        self._recent.append((key, Event(number, self._places[key], does)))
        self._send(*self._recent[-1])
        if self._random.random() < REPEATED:
            self._send(*self._random.choice(self._recent))

    def _send(self, key: str, event: Event) -> None:
        self._produce(key, event, _encode(event))

    def _produce(self, key: str, event: Event, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key=key, on_delivery=self._noted(key, event))
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _noted(self, key: str, event: Event) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._refused = error.str()
                return
            self.sent.append(Sent(event.event, key, event.seq, message.partition() or 0, message.offset() or 0))

        return note
