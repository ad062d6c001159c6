"""`make chaos` in its short form: the same scenarios and the same checker, in minutes rather than half an hour."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.chaos.__main__ import SCENARIOS, run
from bench.chaos.scenario import Scenario, Size
from deploy.local.kafka import KafkaServer

# Each waits for what a group does by itself when a member is killed, which takes ten seconds a time.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def own_kafka(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that may be killed: the other tests have another one."""
    server = KafkaServer(tmp_path_factory.mktemp("chaos"))
    start_server(server)
    yield server
    server.delete()


@pytest.mark.parametrize(
    ("scenario", "size"),
    [pytest.param(one, one.short, id=one.name) for one in SCENARIOS if one.short is not None],
)
def test_everything_adds_up_whatever_is_done_to_the_workers(
    scenario: Scenario, size: Size, own_kafka: KafkaServer, tmp_path: Path
) -> None:
    # A seed of its own for each commit would find more; this one tells a change that broke something from bad luck.
    seed = zlib.crc32(scenario.name.encode()) % 10_000
    figures = run(scenario, own_kafka, tmp_path / scenario.name, seed, size)
    missed = [
        f"{one.name}: {one.value:g}, may be {one.bar:g}" for one in figures if one.bar is not None and not one.passed
    ]
    assert not missed
