"""Of what sources agree on, enrichment is told what it may not know, and nothing twice."""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.conflicts import EntityClaim, encode_conflict_record
from schemas.reference import Place, PlaceVector, Profile
from streams.agents.reconcile import Reconciler, Tables
from streams.conflicts.known import Known, Tally
from streams.conflicts.metrics import ConflictMetrics
from streams.conflicts.rules import Rule, Rules
from streams.conflicts.strategies import last_write_wins
from streams.runtime.publisher import Outgoing, PublishFailed
from streams.runtime.records import Record
from tests.unit.agents.conftest import Texts

NOW = 1_777_636_800_000


class Workers:
    """A worker that settles places and users, the next one that takes over, and what enrichment hears of it."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        rule = Rule(strategy="as told", settle=last_write_wins)
        rules = Rules(types={"place": rule, "user": rule})
        self.ingest = stage.ingest(rules=rules)
        entities = stage.app.state("entities", Known, changelog="entities-log")
        tallies = stage.app.state("tallies", Tally, changelog="tallies-log")
        metrics = ConflictMetrics(CollectorRegistry())
        self.reconciler = Reconciler(self.ingest, rules, Tables(entities, tallies), metrics, lambda: NOW)
        self._heard = 0
        self._said = 0

    def said(self, table: str = "public.places", row_id: str = "p1", **row: Any) -> Record:
        self._said += 1
        kind = "user" if table == "public.users" else "place"
        content = {"id": row_id, **row} if row else None
        claim = EntityClaim(
            table=table, id=row_id, source="crm", version=self._said, at_ms=NOW + self._said, content=content
        )
        topic, key = self.stage.catalogue.claims.name, f"{kind}:{row_id}".encode()
        return self.stage.record(topic, self._said, key, encode_conflict_record(claim))

    async def take(self, *records: Record, heard: bool = True) -> None:
        """Process records; with `heard` enrichment has read what was told so far."""
        await self.reconciler.process(records)
        if heard:
            self.hear(len(self.stage.kafka.records))

    def hear(self, count: int) -> None:
        """Have the readers of the reference topics read what lies in the first so many records of Kafka."""
        reference, catalogue = self.ingest.reference, self.stage.catalogue
        for one in self.stage.kafka.records[self._heard : count]:
            pair = [(one.key, one.value)]
            if one.topic == catalogue.reference_places.name:
                reference.apply_places(pair)
            elif one.topic == catalogue.reference_vectors.name:
                reference.apply_vectors(pair)
            elif one.topic == catalogue.reference_users.name:
                reference.apply_profiles(pair)
        self._heard = max(self._heard, count)

    def told(self) -> tuple[int, int, int]:
        """Return how often enrichment was told of places, of vectors and of travellers."""
        catalogue = self.stage.catalogue
        topics = catalogue.reference_places, catalogue.reference_vectors, catalogue.reference_users
        places, vectors, users = (len(self.stage.of(topic.name)) for topic in topics)
        return places, vectors, users

    def last(self, topic: str, kind: Any) -> Any:
        """Return what the last record of a topic says."""
        value = self.stage.of(topic)[-1].value
        return None if value is None else msgspec.json.decode(value, type=kind)


async def test_a_change_that_enrichment_has_no_use_for_goes_to_the_stores_and_not_to_enrichment(stage: Any) -> None:
    workers = Workers(stage)
    await workers.take(workers.said(name="Roma", kind="hotel", phone="1"))
    await workers.take(workers.said(name="Roma", kind="hotel", phone="2"))
    assert [write.fields["phone"] for write in stage.writes("search")] == ["1", "2"]
    assert len(stage.writes("vector")) == 2
    assert workers.told() == (1, 1, 0)


@pytest.mark.parametrize("changed", [{"name": "Napoli"}, {"area": "west"}, {"lat": 1.0, "lon": 2.0}])
async def test_a_change_that_enrichment_has_use_for_is_told(stage: Any, changed: dict[str, Any]) -> None:
    workers = Workers(stage)
    row = {"name": "Roma", "kind": "hotel"}
    await workers.take(workers.said(**row))
    await workers.take(workers.said(**row | changed))
    assert workers.told() == (2, 2, 0)


async def test_a_description_is_told_with_its_vector(stage: Any) -> None:
    workers = Workers(stage)
    await workers.take(workers.said(name="Roma", kind="hotel"))
    await workers.take(workers.said(name="Roma", kind="hotel", description="with a garden"))
    vector = workers.last(stage.catalogue.reference_vectors.name, PlaceVector)
    assert vector.lsn == (NOW + 2) << 16


async def test_what_enrichment_has_not_read_yet_is_told_again(stage: Any) -> None:
    workers = Workers(stage)
    await workers.take(workers.said(name="Roma", kind="hotel", phone="1"), heard=False)
    await workers.take(workers.said(name="Roma", kind="hotel", phone="2"), heard=False)
    assert workers.told() == (2, 2, 0)


async def test_a_vector_of_another_model_is_told_anew(stage: Any) -> None:
    workers = Workers(stage)
    await workers.take(workers.said(name="Roma", kind="hotel", phone="1"))
    texts: Texts = stage.texts
    texts.model = "newer"
    await workers.take(workers.said(name="Roma", kind="hotel", phone="2"))
    assert workers.told() == (1, 2, 0)


async def test_a_place_that_was_gone_or_forgotten_is_told_again(stage: Any) -> None:
    workers = Workers(stage)
    row = {"name": "Roma", "kind": "hotel"}
    await workers.take(workers.said(**row))
    await workers.take(workers.said())
    await workers.take(workers.said(**row))
    assert workers.told() == (3, 3, 0)
    claims = stage.catalogue.claims.name
    workers.said()
    await workers.take(stage.record(claims, 4, b"place:p1", None), workers.said(**row))
    assert workers.told() == (4, 4, 0)


async def test_of_a_traveller_only_what_changed_for_enrichment_is_told(stage: Any) -> None:
    workers = Workers(stage)
    for email, city in (("a", "Rome"), ("b", "Rome"), ("b", "Oslo")):
        await workers.take(workers.said("public.users", "u1", name="Ann", email=email, home_city=city))
    assert workers.told() == (0, 0, 2)
    assert workers.last(stage.catalogue.reference_users.name, Profile).home_city == "Oslo"


async def test_what_comes_again_after_a_crash_is_told_again(stage: Any) -> None:
    workers = Workers(stage)
    await workers.take(workers.said(name="Roma", kind="hotel", phone="1"))
    second = workers.said(name="Roma", kind="hotel", phone="2")
    await workers.take(second)
    await workers.take(second)
    assert workers.told() == (2, 2, 0)


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_fails_and_however_late_it_is_read_the_last_that_is_told_is_what_is_agreed(
    stage: Any, seed: int
) -> None:
    workers, random = Workers(stage), Random(seed)
    rows: list[dict[str, Any]] = [{"name": name, "kind": "hotel", "phone": f"{n}"} for name in "AB" for n in range(2)]

    def fails(_: Sequence[Outgoing]) -> Exception | None:
        return PublishFailed("away") if random.random() < 0.2 else None

    stage.kafka.fails = fails
    last: dict[str, Any] = {}
    for _ in range(15):
        batch: list[Record] = []
        for _ in range(random.randint(1, 3)):
            last = random.choice([*rows, {}])
            batch.append(workers.said(**last))
        while True:
            try:
                await workers.take(*batch, heard=False)
                break
            except PublishFailed:
                continue
        workers.hear(random.randint(0, len(stage.kafka.records)))
    place = workers.last(stage.catalogue.reference_places.name, Place)
    vector = workers.last(stage.catalogue.reference_vectors.name, PlaceVector)
    assert (place and place.name) == last.get("name")
    assert (vector is not None) == bool(last)
