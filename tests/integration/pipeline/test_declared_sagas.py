"""Every saga of this project on real Kafka, from the fact that begins it to its stores: in all of them, or in none."""

import io
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import psycopg
import pytest
from PIL import Image
from typer.testing import CliRunner

from connectors.kafka.reading import read_topics
from schemas.entities import entity
from schemas.events import BookingCancelled, BookingMade, ErasureRequested, Event, PhotoTaken, TripPlanned
from schemas.sagas import SagaEntry
from schemas.writes import RelationalWrite
from streams.cli import sagas
from streams.demo.database import create_tables
from streams.sagas.declared import (
    BOOKING_CANCELLED,
    BOOKING_MADE,
    DECLARED,
    ERASURE_REQUESTED,
    PHOTO_TAKEN,
    PLACE_DELETED,
    PLACE_SAVED,
    TRIP_PLANNED,
)
from streams.sagas.definition import Step
from streams.sagas.kinds import Kind
from tests.integration.pipeline.told import begun, content_of, held_of, log_of

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

NOW = datetime.now(UTC)
WITH_SAGAS = pytest.mark.parametrize(
    "pipeline", [{"sagas.enabled": True, "enrich.place_wait_seconds": 0.0}], indirect=True
)
TAKEN, REFUSED = "taken", "refused"
EMBEDDED = {"graph": "RefusingGraph", "vector": "RefusingVector"}

Tell = Callable[[Any, str], object]


def publishes(make: Callable[[str], Event]) -> Tell:
    return lambda pipeline, name: pipeline.publish([make(name)])


def executes(statement: str) -> Tell:
    def tell(pipeline: Any, name: str) -> None:
        with psycopg.connect(pipeline.options.source.dsn.get_secret_value()) as connection:
            connection.execute(statement.encode(), {"id": name})

    return tell


def common(what: str, name: str) -> dict[str, Any]:
    return {"event_id": f"{what}-{name}", "user_id": name, "occurred_at": NOW}


def planned(name: str) -> Event:
    days: dict[str, Any] = {"starts_on": date(2026, 1, 1), "ends_on": date(2026, 1, 2)}
    return TripPlanned(**common("trip", name), **days, trip_id=name, title="To the sea", destinations=["Lisbon"])


def made(name: str) -> Event:
    return BookingMade(**common("made", name), booking_id=name, place_id="r1", starts_at=NOW, guests=2)


def cancelled(name: str) -> Event:
    return BookingCancelled(**common("cancelled", name), booking_id=name, reason="ill")


def shot(name: str) -> Event:
    data = io.BytesIO()
    Image.new("RGB", (48, 48), "green").save(data, "PNG")
    return PhotoTaken(**common("photo", name), photo_id=name, content_type="image/png", data=data.getvalue())


class Case(NamedTuple):
    """A kind of saga, how one begins, and what was told of the same before."""

    kind: Kind
    tell: Tell
    before: tuple[Kind, Tell] | None = None


SAVED = executes("INSERT INTO places (id, name, kind, cuisine) VALUES (%(id)s, 'Mill', 'restaurant', 'thai')")
CASES = [
    Case(TRIP_PLANNED, publishes(planned)),
    Case(BOOKING_MADE, publishes(made)),
    Case(BOOKING_CANCELLED, publishes(cancelled), (BOOKING_MADE, publishes(made))),
    Case(PHOTO_TAKEN, publishes(shot)),
    Case(PLACE_SAVED, SAVED),
    Case(PLACE_DELETED, executes("DELETE FROM places WHERE id = %(id)s"), (PLACE_SAVED, SAVED)),
]


def last_that_can_be_taken_back(kind: Kind) -> Step:
    return [step for step in kind.definition.steps if step.kind == "compensatable"][-1]


def refusing(pipeline: Any, step: Step, matching: str) -> dict[str, str]:
    """Return the variables of a worker whose store refuses a step's writes where the entity matches."""
    prefix = f"TRAVELOS_STORES_{step.store.upper()}_"
    settings = {"KIND": "bench.sagas.refusing:RefusingRelational", "SHARE": "1", "MATCHING": matching}
    if step.store in EMBEDDED:
        file = pipeline.options.data_dir.resolve() / "stores" / f"{step.store}.db"
        settings |= {"KIND": f"bench.sagas.refusing:{EMBEDDED[step.store]}", "PATH": str(file)}
    return {prefix + name: value for name, value in settings.items()}


def entry_of(pipeline: Any, kind: Kind, name: str) -> SagaEntry | None:
    subject, definition = entity(kind.about, name), kind.definition.name
    found = [one for one in log_of(pipeline).values() if (one.subject, one.definition) == (subject, definition)]
    assert len(found) <= 1
    return found[0] if found else None


def statuses(pipeline: Any, kind: Kind) -> dict[str, str]:
    found = {name: entry_of(pipeline, kind, name) for name in (TAKEN, REFUSED)}
    return {name: entry.status for name, entry in found.items() if entry is not None}


def contents(pipeline: Any, kind: Kind, name: str) -> Mapping[str, Any]:
    """Return what the stores hold of what a saga was to write, by step. Nobody delivers."""
    writes = written(pipeline, kind, name)
    return dict(zip(writes, held_of(pipeline, writes.values()), strict=True))


def told_of(pipeline: Any, kind: Kind, name: str) -> Mapping[str, Any]:
    """Return the same without the columns of rows that the saga did not name."""
    found, writes = dict(contents(pipeline, kind, name)), written(pipeline, kind, name)
    for step, held in found.items():
        if held is not None and isinstance(write := writes[step], RelationalWrite):
            found[step] = {**held, "columns": {column: held["columns"][column] for column in write.columns}}
    return found


def written(pipeline: Any, kind: Kind, name: str) -> Mapping[str, Any]:
    subject, definition = entity(kind.about, name), kind.definition.name
    (start,) = [one for one in begun(pipeline) if (one.subject, one.definition) == (subject, definition)]
    return start.writes


def follow_rows(pipeline: Any) -> None:
    """Have changes of rows told, and wait until those that come are no part of the snapshot: that begins no sagas."""
    create_tables(pipeline.options.source.dsn.get_secret_value())
    SAVED(pipeline, "older")
    pipeline.start("cdc", "cdc")
    topic, connection = pipeline.catalogue.changes_of("public.places").name, pipeline.options.kafka.connection()
    pipeline.wait_for(lambda: read_topics(connection, [topic]), "the snapshot tells of the older one")


@WITH_SAGAS
@pytest.mark.parametrize("case", CASES, ids=[case.kind.definition.name for case in CASES])
def test_each_declared_saga_leaves_all_or_nothing_from_its_fact_to_its_stores(pipeline: Any, case: Case) -> None:
    kind, step = case.kind, last_that_can_be_taken_back(case.kind)
    if kind.tables:
        follow_rows(pipeline)
    for role in ("ingest", "sagas"):
        pipeline.start(role, role)
    before: Mapping[str, Any] = dict.fromkeys([one.name for one in kind.definition.steps])
    if case.before is not None:
        earlier, tell = case.before
        deliver = pipeline.start("deliver", "deliver")
        for name in (TAKEN, REFUSED):
            tell(pipeline, name)
        pipeline.wait_for(
            lambda: statuses(pipeline, earlier) == dict.fromkeys((TAKEN, REFUSED), "completed"), "both are there"
        )
        deliver.stop()
        before = contents(pipeline, earlier, REFUSED)
        assert None not in before.values()

    matching = f"^{entity(step.entity, REFUSED)}$"
    pipeline.start("deliver", "refusing", **refusing(pipeline, step, matching))
    for name in (TAKEN, REFUSED):
        case.tell(pipeline, name)
    pipeline.wait_for(
        lambda: statuses(pipeline, kind) == {TAKEN: "completed", REFUSED: "compensated"},
        "one is completed, the other taken back",
    )
    pipeline.stop()
    refused = entry_of(pipeline, kind, REFUSED)
    assert refused is not None
    assert ("rejected", step.name) in {(moment.what, moment.step) for moment in refused.history}
    writes = written(pipeline, kind, TAKEN)
    assert writes.keys() == {one.name for one in kind.definition.steps}
    assert told_of(pipeline, kind, TAKEN) == {name: content_of(write) for name, write in writes.items()}
    assert contents(pipeline, kind, REFUSED) == before


@WITH_SAGAS
def test_a_request_to_be_forgotten_that_its_store_refuses_is_tried_until_it_is_written(pipeline: Any) -> None:
    kind = ERASURE_REQUESTED
    (step,) = kind.definition.steps
    for role in ("ingest", "sagas"):
        pipeline.start(role, role)
    matching = f"^{entity(step.entity, f'forget-{REFUSED}')}$"
    deliver = pipeline.start("deliver", "refusing", **refusing(pipeline, step, matching))
    pipeline.publish([ErasureRequested(**common("forget", name)) for name in (TAKEN, REFUSED)])

    def refused() -> bool:
        entry = entry_of(pipeline, kind, REFUSED)
        return entry is not None and [one.reason for one in entry.steps] == ["refused on purpose"]

    pipeline.wait_for(refused, "the store has refused one")
    pipeline.wait_for(
        lambda: statuses(pipeline, kind) == {TAKEN: "completed", REFUSED: "started"},
        "nobody takes back that somebody asked",
    )
    deliver.stop()
    pipeline.start("deliver", "deliver")
    entry = entry_of(pipeline, kind, REFUSED)
    assert entry is not None
    asked = CliRunner().invoke(sagas.app, ["retry", entry.id], env=dict(pipeline.environment))
    assert asked.exit_code == 0, asked.output
    pipeline.wait_for(
        lambda: statuses(pipeline, kind) == dict.fromkeys((TAKEN, REFUSED), "completed"), "it is written in the end"
    )
    pipeline.stop()
    for name in (TAKEN, REFUSED):
        writes = written(pipeline, kind, name)
        assert told_of(pipeline, kind, name) == {one: content_of(write) for one, write in writes.items()}


def test_no_declared_saga_is_left_out() -> None:
    assert [*(case.kind for case in CASES), ERASURE_REQUESTED] == list(DECLARED)
