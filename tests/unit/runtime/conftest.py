"""State tables of an app that is not started: RocksDB is real (and in memory if it can be), Kafka is not."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed
from streams.runtime.state_folder import StateFolder
from streams.runtime.transactions import Transactions
from tests.unit.runtime.machines import Machine

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Source(NamedTuple):
    """A record of a source topic."""

    topic: str
    offset: int
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[()] = ()


class Logged(NamedTuple):
    """A record of a changelog."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Changelog:
    """Stands in for the publisher: one changelog partition. Others may write to it, too."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.records: list[Logged] = []
        self.fails = False

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        if self.fails:
            raise PublishFailed("away")
        for record in records:
            self.sent.append(record)
            self.add(record.key, record.value, record.headers)
        return {(record.topic, record.partition or 0): len(self.records) - 1 for record in records}

    def add(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> None:
        self.records.append(Logged(len(self.records), key, value, headers))


@pytest.fixture
def changelog() -> Changelog:
    return Changelog()


@pytest.fixture
def transactions(changelog: Changelog) -> Transactions:
    return Transactions(cast(Publisher, changelog))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


@pytest.fixture
async def state_app(folder: Path) -> AsyncGenerator[StreamApp]:
    state_folder = StateFolder(folder)
    app = StreamApp("test", Connection(bootstrap="127.0.0.1:1"), state_folder=state_folder, partitions=1)
    yield app
    for table in cast(Any, app.tables).values():
        await table.data.stop()  # RocksDB writes to its folder as it closes
    state_folder.close()


@pytest.fixture
def source() -> type[Source]:
    return Source


@pytest.fixture
def settle() -> Callable[[], Awaitable[None]]:
    """Let tasks that were started run to their first wait."""

    async def settle() -> None:
        await asyncio.sleep(0)

    return settle


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Workers that die, and after the test those that are left end."""
    made = Machine(tmp_path)
    yield made
    for journal in made.alive:
        journal.close()
