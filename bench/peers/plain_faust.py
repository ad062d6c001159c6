# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""The peer on Faust as it is: typed events, counted, with STATE=1 per user in a table with a changelog.

TOPIC=t COUNT=n BROKER=kafka://host:port [STATE=1] python -m faust -A bench.peers.plain_faust worker --without-web
"""

import os
import time
import uuid
from typing import Any

import faust

COUNT = int(os.environ["COUNT"])


class Event(faust.Record, serializer="json"):
    """The events of bench.peers.dict_producer."""

    event_id: str
    type: str
    user_id: str
    ts: float
    lat: float
    lon: float
    payload: dict[str, Any]


app = faust.App(
    f"plain-{uuid.uuid4()}",
    broker=os.environ["BROKER"],
    store="memory://",
    topic_partitions=4,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
)
counts: Any = app.Table("counts", default=int) if os.environ.get("STATE") else None


@app.agent(app.topic(os.environ["TOPIC"], value_type=Event, key_type=bytes, key_serializer="raw"))
async def count_events(stream: Any) -> None:
    """Count, and end the process with the rate once there are enough."""
    done, started = 0, 0.0
    async for event in stream:
        started = started or time.monotonic()
        done += 1
        if counts is not None:
            counts[event.user_id] += 1
        if done == COUNT:
            print(f"{done / (time.monotonic() - started):.0f} events/s", flush=True)
            os._exit(0)
