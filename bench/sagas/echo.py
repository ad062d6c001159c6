"""Stands for the deliver role where the coordinator alone is measured: tells of every write what a store would tell.

`python -m bench.sagas.echo BOOTSTRAP PREFIX` runs until it is killed. For each write of a saga it sends the receipt
`captured`, with the delete that would undo it, and then `applied`. It reads no more of a write than it has to tell.
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


def main(bootstrap: str, prefix: str) -> None:
    """Answer writes for ever."""
    connection, catalogue = Connection(bootstrap=bootstrap), Catalogue(prefix=prefix)
    consumer = Consumer({**connection.consumer("echo"), "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10})
    consumer.subscribe([catalogue.writes(store).name for store in STORES])
    producer = Producer({**connection.producer(), "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
    receipts = catalogue.saga_receipts.name
    while True:
        for message in consumer.consume(BATCH, 0.05):
            if message.error() is not None:
                continue
            headers: Any = message.headers() or []
            for value in receipts_of(_read(message.value() or b"")):
                producer.produce(receipts, value, dict(headers)[SAGA_SUBJECT], headers=headers)
        producer.poll(0)


def receipts_of(write: Known) -> list[bytes]:
    """Return the receipts of a write to a store that held nothing of it."""
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
    return [_write({**told, "result": "captured", "undo": undo}), _write({**told, "result": "applied"})]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
