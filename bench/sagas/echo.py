"""Stands for the deliver role where the coordinator alone is measured: tells of every write what a store would tell.

`python -m bench.sagas.echo BOOTSTRAP PREFIX` runs until it is killed. Of each write of a saga it tells, as an embedded
store that held nothing, that it is applied and what takes it back; with `captured` behind it in two receipts, as a
store that held something or does not recognise its writes. It reads no more of a write than it has to tell.
"""

import sys
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer
from msgspec import Struct

from bench.sagas.declared import STORES
from connectors.kafka.connection import Connection
from schemas.sagas import SAGA_SUBJECT
from schemas.topics import Catalogue

BATCH = 5_000


class Known(Struct):
    """What of a write is in its receipts."""

    store: str
    entity: str
    version: int
    event_id: str
    key: str | None = None
    node: Any = None


_read = msgspec.json.Decoder(Known).decode
_write = msgspec.json.Encoder().encode
AT = "2026-11-21T00:00:00Z"


def main(bootstrap: str, prefix: str, *, captures: bool) -> None:
    """Answer writes for ever."""
    connection, catalogue = Connection(bootstrap=bootstrap), Catalogue(prefix=prefix)
    # A group of its own: one that was killed in an earlier run of this broker would be waited for.
    group = connection.consumer(f"{prefix}echo")
    consumer = Consumer({**group, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10})
    consumer.subscribe([catalogue.writes(store).name for store in STORES])
    producer = Producer({**connection.producer(), "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
    receipts = catalogue.saga_receipts.name
    while True:
        for message in consumer.consume(BATCH, 0.05):
            if message.error() is not None:
                continue
            headers: Any = message.headers() or []
            for value in receipts_of(_read(message.value() or b""), captures=captures):
                producer.produce(receipts, value, dict(headers)[SAGA_SUBJECT], headers=headers)
        producer.poll(0)


def receipts_of(write: Known, *, captures: bool) -> list[bytes]:
    """Return the receipts of a write: one, or two where its undo is told before it."""
    told: dict[str, Any] = {
        "store": write.store,
        "entity": write.entity,
        "version": write.version,
        "source": "bench",
        "event_id": write.event_id,
        "at": AT,
    }
    undo = {
        **{name: value for name, value in msgspec.structs.asdict(write).items() if value is not None},
        **{"source": "bench", "version": 0, "op": "delete", "occurred_at": AT},
    }
    if captures:
        return [_write({**told, "result": "captured", "undo": undo}), _write({**told, "result": "applied"})]
    return [_write({**told, "result": "applied", "undo": undo})]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], captures="captured" in sys.argv[3:])
