"""Workers that join, die and come back: nothing is lost, nothing is there twice, state is kept."""

import os
import shutil
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from connectors.sinks.errors import Unavailable
from schemas.events import Event, GpsUpdate, MessageSent, PlaceVisited, PreferenceStated, TripEnded, TripStarted

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

START = datetime.now(UTC) - timedelta(hours=5)
USERS = 60


def events(count: int, *, seed: int = 1, first: int = 0) -> list[Event]:
    """Return events of many users whose outcome depends on state: trips, tracks, tastes."""
    rng = Random(seed)
    made: list[Event] = []
    for number in range(first, first + count):
        user = f"u{rng.randrange(USERS)}"
        stamp: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": user,
            "occurred_at": START + timedelta(seconds=number),
        }
        match rng.randrange(6):
            case 0:
                made.append(TripStarted(**stamp, trip_id=f"t{number}"))
            case 1:
                made.append(TripEnded(**stamp, trip_id=f"t{rng.randrange(max(1, number))}"))
            case 2:
                text = f"message {number} about noodles"
                made.append(MessageSent(**stamp, conversation_id=f"c-{user}", role="user", text=text))
            case 3:
                value = rng.choice(["thai", "greek", "diner"])
                made.append(PreferenceStated(**stamp, category="cuisine", value=value, strength=rng.uniform(-1, 1)))
            case _:
                made.append(GpsUpdate(**stamp, lat=40.7 + rng.gauss(0, 0.01), lon=-74.0 + rng.gauss(0, 0.01)))
    return made


def halves(made: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    return made[: len(made) // 2], made[len(made) // 2 :]


def test_a_second_worker_takes_its_share_in_the_middle(pipeline: Any) -> None:
    first, second = halves(events(8_000))
    one = pipeline.start("ingest", "ingest-one")
    pipeline.start("deliver")
    pipeline.publish(first)
    pipeline.wait_for(lambda: pipeline.lag("ingest") < len(first), "the first worker works")
    two = pipeline.start("ingest", "ingest-two")
    pipeline.wait_for(lambda: _partitions(pipeline, 2), "both workers have restored their share of the state")
    pipeline.publish(second)
    pipeline.settle()
    assert one.restarts == two.restarts == 0
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report
    assert verdict.expected.events == 8_000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_workers_that_end_in_the_middle_go_on_where_they_were(pipeline: Any, number: signal.Signals) -> None:
    first, second = halves(events(8_000))
    pipeline.publish(first)
    ingest, deliver = pipeline.start("ingest", "ingest"), pipeline.start("deliver", "deliver")
    for _ in range(3):
        before = pipeline.lag("ingest")
        pipeline.wait_for(lambda before=before: pipeline.lag("ingest") < before, "the worker makes progress")
        for role in (ingest, deliver):
            os.kill(role.pid, number)
            pipeline.wait_for(lambda role=role: role.pid is None, "it has ended")
            role.start()
        pipeline.publish(second[:500])
        second = second[500:]
    pipeline.publish(second)
    pipeline.settle()
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report


def test_an_event_sent_again_after_a_restart_is_still_a_duplicate(pipeline: Any) -> None:
    visit = PlaceVisited(event_id="v1", user_id="u1", occurred_at=START, place_id="nowhere", rating=5)
    message = MessageSent(
        event_id="m1", user_id="u1", occurred_at=START, conversation_id="c1", role="user", text="once"
    )
    ingest = pipeline.start("ingest", "ingest")
    pipeline.start("deliver")
    pipeline.publish([message, visit])
    pipeline.settle()
    ingest.stop()
    # The state is gone with the machine; what the changelog says has to do.
    shutil.rmtree(pipeline.options.data_dir / "state")
    ingest.start()
    pipeline.publish([message, visit, message])
    pipeline.settle()
    pipeline.wait_for(lambda: _visits(pipeline) == 1, "the visit that waits for a place is given up waiting")
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report
    assert verdict.expected.duplicates == 3
    with pipeline.readers().warehouse() as reader:
        assert reader.query("SELECT count(*) AS n FROM events") == [{"n": 2}]


def test_state_is_restored_from_the_changelog_when_its_folder_is_gone(pipeline: Any) -> None:
    made = events(4_000)
    first, second = halves(made)
    ingest = pipeline.start("ingest", "ingest")
    pipeline.start("deliver")
    pipeline.publish(first)
    pipeline.settle()
    os.kill(ingest.pid, signal.SIGKILL)
    pipeline.wait_for(lambda: ingest.pid is None, "it is dead")
    shutil.rmtree(pipeline.options.data_dir / "state")
    ingest.start()
    pipeline.publish(second)
    pipeline.settle()
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report  # trips, tracks and stays go on across the loss


def _partitions(pipeline: Any, workers: int) -> bool:
    """Whether so many workers have opened state of their own."""
    folders = list((pipeline.options.data_dir / "state").glob("*ingest/*/"))
    return len(folders) == workers and all(list(folder.rglob("tables/*/CURRENT")) for folder in folders)


def _visits(pipeline: Any) -> int:
    try:
        with pipeline.readers().graph() as reader:
            return len(reader.query("SELECT 1 FROM relations WHERE type = 'VISITED'"))
    except Unavailable:
        return 0  # nothing has been written to the graph yet
