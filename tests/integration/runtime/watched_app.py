# pyright: reportUnknownMemberType=false
"""An app that does as its records say: counts them, hangs on one, blocks the event loop with one.

`python watched_app.py` runs it; it serves /metrics, /live and /ready on APP_PORT.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import faust
import mode.loop

from connectors.kafka.connection import Connection
from streams.log import configure_logging
from streams.runtime.app import StreamApp
from streams.runtime.publisher import Outgoing, TryAgain
from streams.runtime.records import Record
from streams.runtime.state_folder import StateFolder
from streams.runtime.web import listen

PREFIX = os.environ["APP_PREFIX"]

app = StreamApp(
    f"{PREFIX}app",
    Connection(bootstrap=os.environ["APP_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
    partitions=int(os.environ["APP_PARTITIONS"]),
    patience=float(os.environ["APP_PATIENCE"]),
)
counts = app.state("counts", int, changelog=f"{PREFIX}counts")


async def work(records: Sequence[Record]) -> None:
    """Count records by key and tell each; what else is to be done, their values say."""
    partition = records[0].partition
    for record in records:
        match record.value:
            case b"hang":
                await asyncio.Event().wait()
            case b"block":
                time.sleep(20)  # noqa: ASYNC251 - what is tested is that it is noticed
            case b"away":
                raise TryAgain("the store is away")
            case _:
                pass
    async with app.transactions.turn(partition) as transaction:
        view = transaction.view(counts)
        for record in records:
            key = (record.key or b"").decode()
            view.put(key, (view.get(key) or 0) + 1, record)
        transaction.commit_after(
            lambda: app.publisher.publish([Outgoing(f"{PREFIX}out", record.key, record.value) for record in records])
        )


async def set_aside(record: Record, error: Exception) -> None:
    """Nothing fails here."""
    raise AssertionError(record) from error


app.runs([f"{PREFIX}in"], work, set_aside, name="work")
app.serve(listen("127.0.0.1", int(os.environ["APP_PORT"])))

if __name__ == "__main__":
    mode.loop.use("uvloop")
    configure_logging("info", "json")
    worker = faust.Worker(app, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it writes escape sequences into logs
    worker.execute_from_commandline()
