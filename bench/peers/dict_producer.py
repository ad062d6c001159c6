"""The peer: plain dicts through `json.dumps` into confluent-kafka, no types, checks or headers.

python -m bench.peers.dict_producer TOPIC COUNT BOOTSTRAP
"""

import json
import sys
import time

from confluent_kafka import Producer


def main(topic: str, count: int, bootstrap: str) -> None:
    """Send `count` dicts of 237 bytes of a thousand users and print the rate until the last acknowledgement."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    padding = "x" * 100
    started = time.monotonic()
    for number in range(count):
        user = f"u{number % 1000}"
        event = {
            "event_id": f"e{number}",
            "type": "gps_update",
            "user_id": user,
            "ts": 1.0 + number,
            "lat": 37.5,
            "lon": 127.0,
            "payload": {"a": 1, "b": padding},
        }
        value = json.dumps(event).encode()
        while True:
            try:
                producer.produce(topic, value, key=user.encode())
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    print(f"{count} events, {count / (time.monotonic() - started):.0f} events/s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
