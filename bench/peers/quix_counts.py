"""The peer on Quix Streams: events decoded and counted, with STATE=1 per user in its state store with a changelog.

quix_counts.py TOPIC COUNT BOOTSTRAP, with the Python of `bench.runtime.quix`.
"""
# pyright: basic, reportMissingImports=false

import os
import sys
import time
import uuid

from quixstreams import Application


def main(topic, count, bootstrap):
    """Count, and end the process with the rate once there are enough."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        loglevel="WARNING",
    )
    done, started = 0, 0.0

    def count_of_user(value, state):
        state.set("count", state.get("count", 0) + 1)
        return value

    def count_all(value):
        nonlocal done, started
        started = started or time.monotonic()
        done += 1
        if done == count:
            print(f"{done / (time.monotonic() - started):.0f} events/s", flush=True)
            os._exit(0)
        return value

    frame = app.dataframe(app.topic(topic, value_deserializer="json"))
    if os.environ.get("STATE"):
        frame = frame.apply(count_of_user, stateful=True)
    frame.apply(count_all)
    app.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
