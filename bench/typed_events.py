"""Our side of the producer benchmark: typed GPS events through EventProducer, in a process of its own.

python -m bench.typed_events PREFIX COUNT BOOTSTRAP
"""

import sys
import time
from datetime import UTC, datetime

from connectors.kafka.connection import Connection
from connectors.producers import EventProducer, QueueLimits
from schemas.events import GpsUpdate
from schemas.topics import Catalogue


def fix(number: int) -> GpsUpdate:
    """Return one of many fixes of a thousand users; about as large as the peer's events once it has a version."""
    return GpsUpdate(
        event_id=f"018f4d3a-7b1e-7c52-9a60-00000000{number}",
        user_id=f"u{number % 1000}",
        occurred_at=datetime.now(UTC),
        lat=37.566535,
        lon=126.977969,
        accuracy=5.0,
        speed=1.25,
        heading=274.5,
    )


def main(prefix: str, count: int, bootstrap: str) -> None:
    """Build and publish `count` events and print the rate until the last acknowledgement."""
    limits = QueueLimits(linger_ms=20)  # as the peer
    connection, catalogue = Connection(bootstrap=bootstrap), Catalogue(prefix=prefix)
    with EventProducer(connection, catalogue, source="/bench", limits=limits) as producer:
        started = time.monotonic()
        for number in range(count):
            producer.publish(fix(number))
        producer.flush()
        seconds = time.monotonic() - started
        acknowledged = producer.counts().acknowledged
    if acknowledged != count:
        raise SystemExit(f"only {acknowledged} of {count} events were acknowledged")
    print(f"{count} events, {count / seconds:.0f} events/s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
