# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownArgumentType=false
"""A Faust app with runs and state, and beside them what any Faust app has: an agent by record, a table, a timer.

`python counting_app.py worker` runs it; where the brokers are and where state lies comes from the environment.
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
PARTITIONS = int(os.environ["APP_PARTITIONS"])

app = StreamApp(
    f"{PREFIX}app",
    Connection(bootstrap=os.environ["APP_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
    partitions=PARTITIONS,
)
counts = app.state("counts", int, changelog=f"{PREFIX}counts")
words = app.Table("words", default=int, partitions=PARTITIONS)
plain: Any = app.topic(f"{PREFIX}plain", key_serializer="raw", value_serializer="raw")


async def count(records: Sequence[Record]) -> None:
    """Count records by key, and tell each count."""
    partition = records[0].partition
    async with app.transactions.turn(partition) as transaction:
        view = transaction.view(counts)
        told: list[Outgoing] = []
        for record in records:
            key = (record.key or b"").decode()
            if record.value == b"poison":
                raise ValueError("poison")
            if view.position(key, record.topic) < record.offset:  # else a replay, which is counted already
                view.put(key, (view.get(key) or 0) + 1, record)
            told.append(Outgoing(f"{PREFIX}counted", record.key, str(view.get(key)).encode()))
        transaction.commit_after(lambda: app.publisher.publish(told))


async def set_aside(record: Record, error: Exception) -> None:
    """Tell which record failed, and why."""
    await app.publisher.publish([Outgoing(f"{PREFIX}failed", record.key, str(error).encode())])


@app.agent(plain)
async def each_word(stream: Any) -> None:
    """Count words one at a time, as any Faust agent would."""
    async for key, _ in stream.items():
        words[key.decode()] += 1
        await app.publisher.publish([Outgoing(f"{PREFIX}worded", key, str(words[key.decode()]).encode())])


@app.timer(0.2)
async def tick() -> None:
    """Show that timers fire."""
    await app.publisher.publish([Outgoing(f"{PREFIX}ticks", b"tick", b"")])


app.runs([f"{PREFIX}runs"], count, set_aside, name="runs")

if __name__ == "__main__":
    app.main()
