"""A consumer written by hand: confluent-kafka and a store's own client, as the peer of a worker's latency.

It takes what is there, writes it as one batch and notes when the store has acknowledged it. It compares no versions,
tells of no write what became of it, and commits now and then: killed, it writes again, an older version over a newer.

python -m bench.sinks.by_hand STORE BOOTSTRAP TOPIC FILE
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, Message

from bench.sinks.clients import CLIENTS
from bench.stores.delivered import Delivered
from schemas.writes import STORES, StoreName, decode_write
from streams.cli.garbage import collect_less
from streams.supervisor import RoleProcess

AT_ONCE = 500
LINGER_SECONDS = 0.005


class ByHand:
    """The consumer as a process, from the end of a store's topic on.

    Args:
        delivered: whose topic it takes; its own worker is stopped.
        folder: for its log and what it notes.
        where: variables of the store.
    """

    def __init__(self, delivered: Delivered, bootstrap: str, folder: Path, where: Mapping[str, str]) -> None:
        self._delivered = delivered
        self._file = folder / "taken"
        topic = delivered.catalogue.writes(delivered.store).name
        self._process = RoleProcess(
            "by-hand",
            (delivered.store, bootstrap, topic, str(self._file)),
            folder=folder,
            env=where,
            program=(sys.executable, "-m", "bench.sinks.by_hand"),
        )

    def __enter__(self) -> Self:
        """Start it; return when it would miss nothing."""
        self._process.start()
        self._delivered.wait_for(self._ready, "the consumer by hand is there")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.stop()

    def settle(self, count: int) -> None:
        """Wait until it has written so many."""
        self._delivered.wait_for(lambda: len(self._lines()) >= count, "all is written by hand")

    def taken(self, since: float) -> list[float]:
        """Return the milliseconds that each write took which was sent since a time in seconds since 1970."""
        pairs = [tuple(map(float, line.split())) for line in self._lines()]
        return [at - sent for sent, at in pairs if sent >= since * 1_000]

    def _ready(self) -> bool:
        self._check()
        return self._file.exists()

    def _check(self) -> None:
        if self._process.exit_code is not None:
            raise RuntimeError(self._process.last_lines())

    def _lines(self) -> list[str]:
        self._check()
        return self._file.read_text().splitlines()


def main(store: StoreName, bootstrap: str, topic: str, file: Path) -> None:
    """Write until the process is ended."""
    collect_less()
    prefix = f"TRAVELOS_STORES_{store.upper()}_"
    given = {name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)}
    client = CLIENTS[store](given)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}.by-hand", "auto.offset.reset": "latest"})
    assigned: list[int] = []
    consumer.subscribe([topic], on_assign=lambda _, partitions: assigned.extend(one.partition for one in partitions))
    while not assigned:
        consumer.poll(0.1)
    # A position that is asked for and not yet known would be that of the end when the first write is there.
    for partition in consumer.assignment():
        _, partition.offset = consumer.get_watermark_offsets(partition)
        consumer.seek(partition)
    with file.open("w") as noted:
        noted.flush()
        while True:
            messages = consumer.consume(AT_ONCE, LINGER_SECONDS)
            if not messages:
                continue
            client.write([decode_write(_value(message)) for message in messages])
            at = time.time() * 1_000
            noted.writelines(f"{message.timestamp()[1]} {at:.1f}\n" for message in messages)
            noted.flush()


def _value(message: Message) -> bytes:
    error = message.error()
    if error is not None:
        raise RuntimeError(str(error))
    value = message.value()
    assert isinstance(value, bytes), "a write"
    return value


if __name__ == "__main__":
    _, name, at, its_topic, path = sys.argv
    main(next(one for one in STORES if one == name), at, its_topic, Path(path))
