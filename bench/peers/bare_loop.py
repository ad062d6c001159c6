"""The peer without a framework: consume, decode with orjson, count per user in a dict; no state that survives.

python -m bench.peers.bare_loop TOPIC COUNT BOOTSTRAP
"""

import sys
import time
import uuid
from collections import Counter

import orjson
from confluent_kafka import Consumer

AT_ONCE = 5_000


def main(topic: str, count: int, bootstrap: str) -> None:
    """Read `count` events and print the rate from the first ones on."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"bare-{uuid.uuid4()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    users: Counter[str] = Counter()
    started: float | None = None
    while users.total() < count:
        messages = consumer.consume(AT_ONCE, 1.0)
        if messages and started is None:
            started = time.monotonic()
        for message in messages:
            users[orjson.loads(message.value() or b"")["user_id"]] += 1
    print(f"{users.total() / (time.monotonic() - (started or 0)):.0f} events/s")
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
