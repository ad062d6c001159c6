"""A person is erased on real Kafka by workers that die inside their steps, and starts afresh with a new key."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kafka.reading import read_topics
from connectors.keys import UserKeys
from schemas.erasures import Certificate, decode_erasure_record
from schemas.events import DetailsGiven, SearchPerformed
from streams.erasure.certificate import check
from streams.keys import keys_of
from streams.runtime.faults import ERASURE_POINTS, VARIABLE
from tests.integration.pipeline.people import Person, certificates

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]

AFRESH = {
    "erasure.enabled": True,
    "erasure.policy": "afresh",
    "enrich.place_wait_seconds": 0.0,
    "keys.store": "sqlite",
    "keys.cache_seconds": 1.0,
    "archive.enabled": True,
    "archive.file_seconds": 1.0,
}
TIMES = {"between-deletes": 7, "between-purges": 3}  # that a point is reached, for the worker to die there
SECONDS = 120  # a worker waits until its group has given up the one before it


def searched(user: str, query: str) -> SearchPerformed:
    return SearchPerformed(event_id=query, user_id=user, occurred_at=datetime.now(UTC), query=query, results=1)


def rows(pipeline: Any, user: str) -> set[str]:
    with pipeline.readers().warehouse() as reader:
        return {row["event_id"] for row in reader.query("SELECT event_id FROM events WHERE user_id = ?", (user,))}


def key_id(keys: UserKeys, user: str) -> str | None:
    key = keys.get([user]).get(user)
    return None if key is None else key.key_id


@pytest.mark.parametrize("pipeline", [AFRESH], indirect=True)
def test_a_person_is_erased_by_workers_that_die_inside_every_step_and_starts_afresh(pipeline: Any) -> None:
    keys = keys_of(pipeline.options)
    assert keys is not None
    keys.open()
    ann, bert = Person("ann"), Person("bert")
    for role in ("ingest", "deliver", "archive"):
        pipeline.start(role, role)
    pipeline.publish([*ann.events(), *bert.events()])
    said = {one.user: {event.event_id for event in one.events()} for one in (ann, bert)}
    pipeline.settle()
    pipeline.wait_for(lambda: all(rows(pipeline, user) == ids for user, ids in said.items()), "all is written")
    told_of = [pipeline.catalogue.conflicts.name, pipeline.catalogue.reference_users.name]
    with pipeline.producer() as producer:
        producer.publish_raw(told_of[0], b"user:ann", b"{}")
        producer.publish_raw(told_of[1], b"ann", b'{"id": "ann"}')
    before = {user: key_id(keys, user) for user in said}
    assert None not in before.values()

    asked = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "erase", "ann", "--json"],
        env=dict(pipeline.environment),
        stdout=subprocess.PIPE,
    )
    try:
        starts = pipeline.catalogue.erasure_starts.name
        pipeline.wait_for(lambda: read_topics(pipeline.options.kafka.connection(), [starts]), "it is asked for")
        pipeline.publish([searched("ann", "during")])
        for point in ERASURE_POINTS:
            fault = {VARIABLE: f"{point}:{TIMES.get(point, 1)}"}
            worker = pipeline.start("erasure", f"erasure-{point}", **fault)
            pipeline.wait_for(lambda one=worker: one.pid is None, f"it dies at {point}", SECONDS)
            assert worker.exit_code == -signal.SIGKILL, worker.last_lines()
        pipeline.start("erasure", "erasure")
        output, _ = asked.communicate(timeout=SECONDS)
    finally:
        asked.kill()
        asked.communicate()
    assert asked.returncode == 0
    told = decode_erasure_record(output, Certificate)
    check(told)
    assert {one.signature for one in certificates(pipeline)} == {told.signature}
    assert told.statement.user_id == "ann"
    assert sum(answer.deleted for answer in told.statement.stores.values()) > 30
    (file,) = (pipeline.options.data_dir / "erasure" / "certificates").glob("*.json")
    assert json.loads(file.read_bytes()) == json.loads(output)

    last = {one.topic: one.value for one in read_topics(pipeline.options.kafka.connection(), told_of)}
    assert last == dict.fromkeys(told_of)  # tombstones

    # What waited goes on, and what comes now; both with a key that is not the old one.
    pipeline.publish([DetailsGiven(event_id="after", user_id="ann", occurred_at=datetime.now(UTC), phone=ann.phone)])
    pipeline.settle()
    pipeline.wait_for(lambda: rows(pipeline, "ann") == {"during", "after"}, "she has started afresh")
    assert rows(pipeline, "bert") == said["bert"]
    assert key_id(keys, "bert") == before["bert"]
    assert key_id(keys, "ann") not in (None, before["ann"])
    keys.close()
    archive = pipeline.options.data_dir / "archive"
    assert all(ann.message.encode() not in path.read_bytes() for path in archive.rglob("*") if path.is_file())
