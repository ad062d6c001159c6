# pyright: reportUnknownMemberType=false
"""The app that is broken on purpose: drops what was sent twice, counts by key, and tells of every event.

`python -m bench.chaos.worker` runs it; the environment says where and as whom.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

import faust
import mode.loop

from bench.chaos.events import Event, Told
from connectors.kafka.connection import Connection
from streams.log import configure_logging
from streams.runtime.app import BUFFER_BYTES, StreamApp
from streams.runtime.batches import Batch
from streams.runtime.publisher import QUEUE_RECORDS
from streams.runtime.retry import RetryPolicy
from streams.runtime.state_folder import StateFolder

PREFIX = os.environ["CHAOS_PREFIX"]
WORKER = os.environ["CHAOS_WORKER"]
HANGS_SECONDS = float(os.environ["CHAOS_HANGS_SECONDS"])
BATCH_SECONDS = float(os.environ["CHAOS_BATCH_SECONDS"])

app = StreamApp(
    f"{PREFIX}app",
    Connection(bootstrap=os.environ["CHAOS_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["CHAOS_FOLDER"])),
    partitions=int(os.environ["CHAOS_PARTITIONS"]),
    buffer_bytes=int(os.environ.get("CHAOS_BUFFER_BYTES", BUFFER_BYTES)),
    queue_records=int(os.environ.get("CHAOS_QUEUE_RECORDS", QUEUE_RECORDS)),
    broker_session_timeout=float(os.environ["CHAOS_SESSION_SECONDS"]),
    broker_max_poll_interval=float(os.environ["CHAOS_MAX_POLL_SECONDS"]),
    broker_client_id=WORKER,
)
counts = app.state("counts", int, changelog=f"{PREFIX}counts")
seen = app.state("seen", int, changelog=f"{PREFIX}seen")


@app.batches(f"{PREFIX}in", value_type=Event, dead_letters=f"{PREFIX}dead", retry=RetryPolicy(first_pause=0.01))
async def tell(batch: Batch[Event]) -> None:
    """Tell of each event that was not told of before, with the count of its key."""
    await asyncio.sleep(BATCH_SECONDS)
    counted, known = batch.table(counts), batch.table(seen)
    known.prefetch(str(event.event) for event in batch.values)
    for record, event in batch:
        await _do(event)
        number = str(event.event)
        # An event that was seen at this very place is a replay: it has its effect already and is told of again.
        if 0 <= known.position(number, batch.topic) < record.offset:
            continue
        known.update(number, record, lambda _: 1)
        count = counted.update(record.key or b"", record, lambda old: (old or 0) + 1) or 0
        told = Told(event.event, event.seq, count, record.offset, WORKER)
        batch.send(f"{PREFIX}out", key=record.key, value=told)


async def _do(event: Event) -> None:
    match event.does:
        case "":
            return
        case "fail":
            raise ValueError(f"event {event.event} fails")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "pause":
            await asyncio.sleep(HANGS_SECONDS)
        case "block":
            time.sleep(HANGS_SECONDS)  # noqa: ASYNC251 - a client that blocks is what this stands for


if __name__ == "__main__":
    mode.loop.use("uvloop")
    configure_logging("info", "json")
    worker = faust.Worker(app, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it writes escape sequences into logs
    worker.execute_from_commandline()
