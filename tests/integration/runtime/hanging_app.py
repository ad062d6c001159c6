# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownArgumentType=false
"""An agent that works on several records at a time and never ends the first; on plain Faust or on our transport.

`python hanging_app.py worker` runs it; APP_KIND is `plain` or `ours`.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import faust

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.state_folder import StateFolder

TOPIC = os.environ["APP_TOPIC"]
BOOTSTRAP = os.environ["APP_BOOTSTRAP"]
GROUP = os.environ["APP_GROUP"]

if os.environ["APP_KIND"] == "plain":
    app = faust.App(
        GROUP,
        broker=f"kafka://{BOOTSTRAP}",
        datadir=os.environ["APP_FOLDER"],
        topic_partitions=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=0.5,
    )
else:
    app = StreamApp(
        GROUP,
        Connection(bootstrap=BOOTSTRAP),
        state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
        partitions=1,
    )
topic: Any = app.topic(TOPIC, key_serializer="raw", value_serializer="raw")


@app.agent(topic, concurrency=4)
async def work(stream: Any) -> None:
    """Work on records; the first one hangs, as on a store that does not answer."""
    async for value in stream:
        if value == b"0":
            await asyncio.Event().wait()
        print("done", value.decode(), flush=True)


if __name__ == "__main__":
    app.main()
