"""What Kafka acknowledged: the records that somebody may hold us to."""

import threading
import time

from connectors.kafka.reading import StoredRecord
from connectors.producers.errors import RawRecord
from connectors.producers.record_queue import Delivered
from schemas.events import encode_event


class Ledger:
    """Remembers every acknowledged record with the place that Kafka gave it. For several threads."""

    def __init__(self) -> None:
        self._delivered: list[tuple[Delivered, int]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._delivered)

    def note(self, delivered: Delivered) -> None:
        """Take in an acknowledgement; fits `EventProducer`'s `on_delivery`."""
        with self._lock:
            self._delivered.append((delivered, time.time_ns() // 1_000_000))

    def records(self) -> list[StoredRecord]:
        """Return the acknowledged records."""
        with self._lock:
            return [_stored(delivered, at) for delivered, at in self._delivered]


def _stored(delivered: Delivered, at: int) -> StoredRecord:
    event = delivered.event
    if isinstance(event, RawRecord):
        key, value, headers = event.key, event.value, event.headers
    else:
        key, value, headers = event.user_id.encode(), encode_event(event), ()
    return StoredRecord(
        topic=delivered.topic,
        partition=delivered.partition,
        offset=delivered.offset,
        timestamp=at,
        key=key,
        value=value,
        headers=headers,
    )
