"""When three stores hold what was agreed with a change: from the receipts of their writes."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer
from msgspec import Struct

from bench.conflicts.changes import Said
from connectors.kafka.connection import Connection
from schemas.receipts import decode_receipt
from schemas.writes import StoreName
from streams.routing.entities import AGREED

STORES: tuple[StoreName, ...] = ("search", "vector", "graph")
COUNTER_BITS = 16  # of a version of the line `agreed`, below its milliseconds


class Delay(Struct, frozen=True):
    """A change: when it was made on the monotonic clock, and how long it took until three stores held it, in s."""

    made: float
    took: float


class Agreement:
    """Which changes are agreed in which stores. A change is in what was agreed with a version of its time, or later."""

    def __init__(self) -> None:
        self.delays: list[Delay] = []
        self.refused = 0
        self._waiting: dict[str, deque[tuple[int, float]]] = defaultdict(deque)
        self._held: dict[str, dict[str, int]] = defaultdict(dict)
        self._lock = threading.Lock()
        self.open = 0

    def said(self, change: Said, made: float) -> None:
        """Note a change before it is sent."""
        with self._lock:
            self._waiting[change.entity].append((change.at_ms << COUNTER_BITS, made))
            self.open += 1

    def held(self, entity: str, store: str, version: int, at: float) -> None:
        """Note what a store holds."""
        with self._lock:
            stores = self._held[entity]
            stores[store] = max(version, stores.get(store, 0))
            if len(stores) < len(STORES):
                return
            everywhere, waiting = min(stores.values()), self._waiting[entity]
            while waiting and waiting[0][0] <= everywhere:
                _, made = waiting.popleft()
                self.delays.append(Delay(made, at - made))
                self.open -= 1

    def disagreement(self) -> Mapping[str, Sequence[str]]:
        """Return the entities of which stores hold different versions, and what each holds."""
        with self._lock:
            return {
                entity: [f"{store} {version}" for store, version in stores.items()]
                for entity, stores in self._held.items()
                if len(set(stores.values())) > 1 or len(stores) < len(STORES)
            }


def share_in_agreement(delays: Sequence[Delay], *, entities: int, seconds: float, patience: float) -> float:
    """Return the share of the time of all entities in which nothing said of them waited for longer than `patience`.

    Changes of one entity that wait at once count each: it is a lower bound.
    """
    late = sum(max(0.0, one.took - patience) for one in delays)
    return 1 - late / (entities * seconds)


class Receipts:
    """Reads the receipts in a thread, and tells of those of the version line `agreed`."""

    def __init__(self, connection: Connection, topic: str, agreement: Agreement) -> None:
        config = {**connection.consumer("bench-receipts"), "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
        self._consumer = Consumer(config)
        self._consumer.subscribe([topic])
        self._agreement = agreement
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receipts", daemon=True)

    def __enter__(self) -> "Receipts":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        source = f'"source":"{AGREED}"'.encode()
        while not self._stopping.is_set():
            messages = self._consumer.consume(2_000, 0.02)
            at = time.monotonic()
            for message in messages:
                value = message.value() or b""
                # Those of other lines and entities are not read any further: that would take a core of the two.
                if message.error() is not None or source not in value or b'"entity":"place:' not in value:
                    continue
                receipt = decode_receipt(value)
                if receipt.result not in ("applied", "superseded"):
                    self._agreement.refused += 1
                elif receipt.store in STORES:
                    self._agreement.held(receipt.entity, receipt.store, receipt.version, at)
