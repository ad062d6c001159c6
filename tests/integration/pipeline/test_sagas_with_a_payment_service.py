"""Somebody outside takes part in sagas, on real Kafka: the payment service of docs/sagas.md, as the page has it."""

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.kafka.admin import ensure_topics
from connectors.kafka.reading import read_topics
from deploy.local.process import ServerProcess
from schemas.sagas import Reply, SagaStart, decode_saga_record, encode_saga_record
from schemas.topics import Topic
from schemas.writes import RelationalWrite
from tests.integration.pipeline.told import held_of, log_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
FILE = re.compile(r"`(paying/\w+\.py)`:\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(FILE.findall((ROOT / "docs" / "sagas.md").read_text("utf-8")))
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REQUESTS, REPLIES = "payments.requests", "payments.replies"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, where Python finds it."""
    folder = tmp_path / "page"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    yield folder
    for name in [one for one in sys.modules if one.partition(".")[0] == "paying"]:
        del sys.modules[name]


@pytest.fixture
def service(package: Path, pipeline: Any, tmp_path: Path) -> Iterator[ServerProcess]:
    """The payment service in a process of its own, with its topics."""
    about: dict[str, Any] = {"key": "", "value": "", "owner": "", "purpose": ""}
    topics = [Topic(name=name, partitions=pipeline.catalogue.partitions, **about) for name in (REQUESTS, REPLIES)]
    ensure_topics(pipeline.options.kafka.connection(), topics)
    process = ServerProcess("payments", tmp_path / "service")
    command = [sys.executable, "-m", "paying.service", pipeline.options.kafka.bootstrap]
    process.spawn(command, env={}, cwd=package)
    yield process
    process.stop(timeout=10)


def booking(key: str, **columns: Any) -> RelationalWrite:
    return RelationalWrite(
        entity=f"bookings:{key}",
        version=500,
        source="events",
        event_id=f"e-{key}",
        occurred_at=NOW,
        table="bookings",
        key=key,
        columns={"user_id": "ann", "place_id": "r1", "guests": 2, **columns},
    )


def send(pipeline: Any, start: SagaStart) -> None:
    producer = Producer(pipeline.options.kafka.connection().producer())
    producer.produce(pipeline.catalogue.saga_starts.name, encode_saga_record(start), start.subject.encode())
    assert producer.flush(30) == 0


def answers(pipeline: Any) -> dict[str, list[tuple[int, str]]]:
    """Return what the service has answered of each payment, each answer once."""
    found: dict[str, list[tuple[int, str]]] = {}
    for record in read_topics(pipeline.options.kafka.connection(), [REPLIES]):
        reply = decode_saga_record(record.value, Reply)
        told = found.setdefault(reply.entity, [])
        if (reply.version, reply.result) not in told:
            told.append((reply.version, reply.result))
    return found


@pytest.mark.parametrize("pipeline", [{"sagas.enabled": True, "sagas.declared": ["paying.sagas:KINDS"]}], indirect=True)
def test_the_payment_service_of_the_page_takes_part_in_sagas_on_kafka(
    pipeline: Any, package: Path, service: ServerProcess
) -> None:
    start_of = import_module("paying.sagas").start_of
    for role in ("sagas", "deliver"):
        pipeline.start(role, role, PYTHONPATH=os.pathsep.join([str(package), str(ROOT)]))
    paid, poor = booking("paid"), booking("poor")
    wrong = booking("wrong", starts_at="no time at all")  # which Postgres refuses, when it is paid already
    begun = {
        name: start_of(write, cents)
        for name, write, cents in (("paid", paid, 4_200), ("poor", poor, 200_000), ("wrong", wrong, 4_200))
    }
    for start in begun.values():
        send(pipeline, start)

    def status(name: str) -> str:
        entry = log_of(pipeline).get(begun[name].id)
        return "" if entry is None else entry.status

    pipeline.wait_for(lambda: status("paid") == "completed", "what was accepted is completed")
    pipeline.wait_for(lambda: status("poor") == "compensated", "what the service refused is compensated")
    pipeline.wait_for(lambda: status("wrong") == "compensated", "what its store refused is compensated")
    assert service.pid is not None, service.last_lines()
    assert answers(pipeline) == {
        "payment:paid": [(500, "applied")],
        "payment:poor": [(500, "rejected"), (501, "applied")],
        "payment:wrong": [(500, "applied"), (501, "applied")],
    }
    pipeline.stop()
    assert [held is not None for held in held_of(pipeline, map(booking, begun))] == [True, False, False]
    told = {(moment.what, moment.step, moment.detail) for moment in log_of(pipeline)[begun["poor"].id].history}
    assert ("rejected", "pay", "more than the card has") in told
