# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownArgumentType=false
"""An app that passes on all it reads, of each topic twice: what it reads in runs, and what record by record.

`python gaps_app.py worker` runs it; where the brokers are and where state lies comes from the environment.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record
from streams.runtime.state_folder import StateFolder

PREFIX = os.environ["APP_PREFIX"]

app = StreamApp(
    f"{PREFIX}app",
    Connection(bootstrap=os.environ["APP_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
    partitions=1,
)


async def pass_on(records: Sequence[Record]) -> None:
    """Pass a run on."""
    await app.publisher.publish([Outgoing(f"{one.topic}.out", one.key, one.value) for one in records])


async def set_aside(record: Record, error: Exception) -> None:
    """Nothing fails here."""
    raise AssertionError(record) from error


async def pass_each_on(stream: Any) -> None:
    """Pass records on, one at a time."""
    async for event in stream.events():
        topic = event.message.topic
        await app.send(f"{topic}.out", key=event.message.key, value=event.value, key_serializer="raw")


app.runs([f"{PREFIX}{name}.runs" for name in ("transactions", "compacted")], pass_on, set_aside, name="runs")
for name in ("transactions", "compacted"):
    plain: Any = app.topic(f"{PREFIX}{name}.plain", key_serializer="raw", value_serializer="raw")
    app.agent(plain, name=name)(pass_each_on)

if __name__ == "__main__":
    app.main()
