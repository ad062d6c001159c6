"""A cluster of the process, for commands that read topics."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import connectors.kafka.reading
from deploy.local.kafka import MemoryKafka
from streams.cli import common
from tests.unit.cli.letters_on_a_cluster import BriskConsumer, Cluster


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    monkeypatch.setattr(connectors.kafka.reading, "Consumer", BriskConsumer)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Cluster(kafka.bootstrap)
    finally:
        kafka.stop()
