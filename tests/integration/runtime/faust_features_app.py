# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false
"""What any Faust app has, on `StreamApp`: sinks, replies, a table, a repartitioned stream, a timer, web pages.

`python faust_features_app.py worker` runs it, `... send` and `... agents` are the commands of Faust. It ends at once
when aiokafka's producer is started: everything is to leave through librdkafka.
"""

import os
from pathlib import Path
from typing import Any

import aiokafka

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.state_folder import StateFolder

PREFIX = os.environ["APP_PREFIX"]
PARTITIONS = int(os.environ["APP_PARTITIONS"])


async def refuse(self: Any) -> None:
    """Take the place of `AIOKafkaProducer.start`."""
    os.write(2, b"aiokafka's producer was started\n")
    os._exit(3)


aiokafka.AIOKafkaProducer.start = refuse

app = StreamApp(
    f"{PREFIX}app",
    Connection(bootstrap=os.environ["APP_BOOTSTRAP"]),
    state_folder=StateFolder(Path(os.environ["APP_FOLDER"])),
    partitions=PARTITIONS,
    topic_allow_declare=True,
    reply_create_topic=True,
    web_enabled=True,
    web_bind="127.0.0.1",
    web_port=int(os.environ["APP_PORT"]),
)


def topic(name: str, **settings: Any) -> Any:
    """Return a topic of raw bytes."""
    raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
    return app.topic(f"{PREFIX}{name}", **(raw | settings))


page: Any = app.page  # its types know no page with a part of its path


def last_letter(value: bytes) -> bytes:
    """Return the last letter of a word."""
    return value[-1:]


relayed, doubled = topic("relayed"), topic("doubled", value_serializer="json")
words = app.Table("words", default=int, partitions=PARTITIONS, key_type=bytes)
by_last = app.Table("by_last", default=int, partitions=PARTITIONS, key_type=bytes)


@app.agent(topic("words"))
async def relay(stream: Any) -> None:
    """Count a word, and pass it on: once to where its key belongs, once to partition 3 with headers."""
    async for key, value in stream.items():
        words[key] += 1
        # More than the topic takes, also when it is compressed.
        passed_on = os.urandom(2_000_000) if value == b"too large" else value
        await relayed.send(key=key, value=passed_on)
        if value == b"tombstone":
            await relayed.send(key=key, value=None, partition=3, headers={"from": b"relay"}, timestamp=1_700_000_000.5)


@app.agent(topic("numbers", value_serializer="json"), sink=[doubled])
async def double(stream: Any) -> Any:
    """Yield the double of each number: to the sink, and to whoever asks."""
    async for number in stream:
        yield number * 2


@app.agent(topic("people"))
async def count_by_last_letter(stream: Any) -> None:
    """Count keys by the last letter of their values, wherever that letter belongs."""
    async for value in stream.group_by(last_letter, name="last", partitions=PARTITIONS):
        by_last[last_letter(value)] += 1


@app.timer(0.2)
async def tick() -> None:
    """Show that timers fire, and can send."""
    await topic("ticks").send(key=b"tick", value=b"")


@page("/asked/{number}/")
async def asked(web: Any, request: Any, **found: Any) -> Any:
    """Ask an agent, and tell what it replied."""
    return web.json({"reply": await double.ask(int(found["number"]))})


@page("/cast/{number}/")
async def told(web: Any, request: Any, **found: Any) -> Any:
    """Give an agent a number, and do not wait."""
    await double.cast(int(found["number"]))
    return web.json({})


@page("/counts/")
async def counts(web: Any, request: Any) -> Any:
    """Tell what the tables hold."""
    tables = {"words": words, "by_last": by_last}
    return web.json({name: {key.decode(): n for key, n in table.items()} for name, table in tables.items()})


if __name__ == "__main__":
    app.main()
