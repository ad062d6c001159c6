"""The agent that settles what sources say, on real state tables: what goes where, what comes twice, who decides."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.conflicts import (
    ConflictCommand,
    ConflictEntry,
    EntityClaim,
    decode_conflict_record,
    encode_conflict_record,
)
from schemas.headers import ERROR_MESSAGE, header_map
from schemas.sagas import SagaStart, decode_saga_record
from streams.agents.changes import ChangePass
from streams.agents.reconcile import Reconciler, Tables
from streams.conflicts.known import Known, Tally
from streams.conflicts.metrics import ConflictMetrics
from streams.conflicts.rules import Rule, Rules
from streams.conflicts.strategies import Strategy, last_write_wins, manual, merge, rollback
from streams.runtime.publisher import Outgoing, PublishFailed
from streams.runtime.records import Record
from streams.sagas.declared import DECLARED
from streams.sagas.kinds import Kinds

NOW = 1_777_636_800_000
AT = datetime(2026, 11, 21, tzinfo=UTC)
ROW: dict[str, Any] = {"id": "p1", "name": "Roma", "kind": "hotel", "phone": "1", "written": 5}


class World:
    """A worker that settles places, what it reads, and what it sent."""

    def __init__(self, stage: Any, strategy: Strategy, kinds: Kinds | None = None, **rules: Any) -> None:
        self.stage, self.catalogue = stage, stage.catalogue
        rule = Rule(strategy="as told", settle=strategy, ignored=frozenset({"written"}))
        self.rules = Rules(types={"place": rule}, **rules)
        self.ingest = stage.ingest(rules=self.rules, kinds=kinds)
        app = stage.app
        self.tables = Tables(
            entities=app.state("entities", Known, changelog="entities-log"),
            tallies=app.state("tallies", Tally, changelog="tallies-log"),
        )
        self.offsets: dict[str, int] = {}
        self.registry, self.reconciler = self.another()

    def another(self) -> tuple[CollectorRegistry, Reconciler]:
        """Return a worker that takes over: it has the tables, and nothing in memory."""
        registry = CollectorRegistry()
        return registry, Reconciler(self.ingest, self.rules, self.tables, ConflictMetrics(registry), lambda: NOW + 200)

    def record(self, topic: str, key: str, value: bytes | None) -> Record:
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        return self.stage.record(topic, offset, key.encode(), value)

    def said(self, source: str, version: int, at_ms: int = NOW, key: str = "place:p1", **row: Any) -> Record:
        claim = EntityClaim(
            table="public.places",
            id="p1",
            source=source,
            version=version,
            at_ms=at_ms,
            content={"id": "p1", "name": "Roma", "kind": "hotel", **row} if row else None,
        )
        return self.record(self.catalogue.claims.name, key, encode_conflict_record(claim))

    def decided(self, entry: ConflictEntry, content: Any, **changed: Any) -> Record:
        given: dict[str, Any] = {
            "id": entry.id,
            "entity": entry.entity,
            "seen": {side.source: side.version for side in entry.sides},
            "content": content,
            "by": "ann",
            "at": AT,
            "why": "called them",
        }
        command = ConflictCommand(**given | changed)
        return self.record(self.catalogue.conflict_commands.name, entry.entity, encode_conflict_record(command))

    async def take(self, *records: Record) -> None:
        await self.reconciler.process(records)

    def shown(self) -> list[tuple[str, int]]:
        """Return the name and the version of what was sent to the search store, in its order."""
        return [
            (write.op if write.op == "delete" else write.name, write.version) for write in self.stage.writes("search")
        ]

    def conflicts(self) -> list[ConflictEntry]:
        return [
            decode_conflict_record(one.value, ConflictEntry) for one in self.stage.of(self.catalogue.conflicts.name)
        ]

    def figures(self) -> Mapping[tuple[str, str], float]:
        """Return how many claims there were of each outcome, and how many entities of each state."""
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        labels = {"stream_conflict_claims_total": "outcome", "stream_conflict_entities": "state"}
        return {(one.name, one.labels[labels[one.name]]): one.value for one in samples if one.name in labels}


def change(source_name: str, lsn: int, before: Any = None) -> bytes:
    source = {"version": "3.4", "connector": "postgresql", "db": "d", "schema": "public", "table": "places"}
    told = {**source, "name": source_name, "ts_ms": NOW, "lsn": lsn}
    return json.dumps({"op": "u", "source": told, "before": before, "after": ROW}).encode()


def without_changelogs(records: Sequence[Outgoing]) -> Exception | None:
    return PublishFailed("away") if records and records[0].topic.endswith("-log") else None


def without_outputs(records: Sequence[Outgoing]) -> Exception | None:
    return PublishFailed("away") if records and not records[0].topic.endswith("-log") else None


def without_entities(records: Sequence[Outgoing]) -> Exception | None:
    return PublishFailed("away") if any(one.topic == "entities-log" for one in records) else None


def working(_: Sequence[Outgoing]) -> Exception | None:
    return None


async def test_a_change_of_a_type_that_is_settled_becomes_a_claim_and_history_and_nothing_else(stage: Any) -> None:
    world = World(stage, last_write_wins, confidences={"cdc.crm": 0.5}, regions={"cdc.crm": "kr"})
    value = change("cdc.crm", 7, before={**ROW, "phone": "0"})
    await ChangePass(world.ingest).process([world.record("cdc.crm.public.places", '{"id":"p1"}', value)])
    (sent,) = stage.of(world.catalogue.claims.name)
    claim = decode_conflict_record(sent.value, EntityClaim)
    assert (sent.key, claim.source, claim.version, claim.at_ms) == (b"place:p1", "cdc.crm", 7, NOW)
    assert claim.content == {"id": "p1", "name": "Roma", "kind": "hotel", "phone": "1"}
    assert (claim.confidence, claim.region, len(claim.base or b"")) == (0.5, "kr", 32)
    assert {write.__struct_config__.tag for write in stage.writes()} == {"warehouse"}
    assert stage.of(world.catalogue.reference_places.name) == []


@pytest.mark.parametrize("before", [None, {"id": "p1", "name": None, "kind": None, "phone": None, "written": None}])
async def test_what_a_source_does_not_tell_of_the_row_before_is_no_base(stage: Any, before: Any) -> None:
    world = World(stage, last_write_wins)
    record = world.record("cdc.crm.public.places", '{"id":"p1"}', change("cdc.crm", 7, before=before))
    await ChangePass(world.ingest).process([record])
    (sent,) = stage.of(world.catalogue.claims.name)
    assert decode_conflict_record(sent.value, EntityClaim).base is None


async def test_what_is_agreed_is_routed_as_a_change_of_a_version_line_of_its_own(stage: Any) -> None:
    world = World(stage, last_write_wins)
    await world.take(world.said("crm", 7, name="Roma"))
    assert {write.source for write in stage.writes()} == {"agreed"}
    assert {write.__struct_config__.tag for write in stage.writes()} == {"search", "vector", "graph"}
    assert world.shown() == [("Roma", NOW << 16)]
    assert len(stage.of(world.catalogue.reference_places.name)) == 1


async def test_what_is_agreed_begins_the_sagas_of_its_table(stage: Any) -> None:
    world = World(stage, last_write_wins, kinds=Kinds(DECLARED))
    await world.take(world.said("crm", 7, name="Roma"))
    await world.take(world.said("crm", 8, NOW + 1))
    starts = [decode_saga_record(one.value, SagaStart) for one in stage.of(world.catalogue.saga_starts.name)]
    assert [(one.definition, one.version) for one in starts] == [
        ("place_saved", NOW << 16),
        ("place_deleted", (NOW + 1) << 16),
    ]


async def test_an_echo_goes_no_further_and_a_conflict_is_settled_and_told_with_both_sides(stage: Any) -> None:
    world = World(stage, last_write_wins)
    await world.take(world.said("crm", 7, name="Roma"))
    await world.take(world.said("app", 1, name="Roma"), world.said("app", 1, name="Old"))
    assert len(world.shown()) == 1
    await world.take(world.said("third", 1, NOW + 1, name="Napoli"))
    assert world.shown()[1:] == [("Napoli", (NOW + 1) << 16)]
    (told,) = world.conflicts()
    assert (told.status, told.strategy, told.agreed_version) == ("settled", "as told", (NOW + 1) << 16)
    assert {side.source: (side.content or {})["name"] for side in told.sides} == {
        "app": "Roma",
        "crm": "Roma",
        "third": "Napoli",
    }
    outcomes = {outcome: count for (name, outcome), count in world.figures().items() if "claims" in name}
    assert outcomes == {"applied": 1, "echo": 1, "superseded": 1, "settled": 1}


async def test_a_merge_reaches_the_stores_with_members_of_both(stage: Any) -> None:
    world = World(stage, merge())
    await world.take(
        world.said("crm", 7, name="Roma", phone="1"), world.said("app", 1, NOW + 1, name="Roma", area="west")
    )
    *_, last = stage.writes("search")
    assert last.fields["area"] == "west"
    assert last.fields["phone"] == "1"


async def test_a_rollback_sends_the_last_agreed_content_once_more(stage: Any) -> None:
    world = World(stage, rollback)
    await world.take(world.said("crm", 7, name="Roma"))
    await world.take(world.said("app", 1, name="Napoli"))
    assert world.shown() == [("Roma", NOW << 16), ("Roma", (NOW << 16) + 2)]
    assert [told.status for told in world.conflicts()] == ["taken back"]


async def test_what_is_agreed_to_be_gone_is_deleted(stage: Any) -> None:
    world = World(stage, last_write_wins)
    await world.take(world.said("crm", 7, name="Roma"))
    await world.take(world.said("crm", 8, NOW + 1))
    assert world.shown()[-1] == ("delete", (NOW + 1) << 16)


async def test_what_was_taken_before_a_crash_changes_nothing_and_is_sent_again(stage: Any) -> None:
    world = World(stage, last_write_wins)
    first, second = world.said("crm", 7, name="Roma"), world.said("crm", 8, NOW + 1, name="Napoli")
    await world.take(first, second)
    _, world.reconciler = world.another()
    await world.take(first)
    assert world.shown() == [("Napoli", (NOW + 1) << 16)] * 2


async def test_nothing_that_is_agreed_leaves_before_it_is_durable(stage: Any) -> None:
    world = World(stage, rollback)
    await world.take(world.said("crm", 7, name="Roma"))
    second = world.said("app", 1, name="Napoli")
    stage.kafka.fails = without_changelogs
    with pytest.raises(PublishFailed):
        await world.take(second)
    assert (world.shown(), world.conflicts()) == ([("Roma", NOW << 16)], [])
    stage.kafka.fails = working
    await world.take(second)
    assert world.shown()[1:] == [("Roma", (NOW << 16) + 2)]


async def test_a_decision_that_was_not_kept_has_no_effect_although_a_claim_is_read_before_it_comes_again(
    stage: Any,
) -> None:
    world = World(stage, manual)
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    (told,) = world.conflicts()
    decision = world.decided(told, told.sides[0].content)
    stage.kafka.fails = without_changelogs
    with pytest.raises(PublishFailed):
        await world.take(decision)
    stage.kafka.fails = working
    await world.take(world.said("app", 2, name="Torino"))
    await world.take(decision)
    *_, told = world.conflicts()
    await world.take(world.decided(told, told.sides[1].content))
    assert [one.status for one in world.conflicts()] == ["undecided", "undecided", "undecided", "decided"]
    assert world.shown() == [("Roma", NOW << 16), ("Roma", (NOW << 16) + 2)]


@pytest.mark.parametrize("strategy", [manual, last_write_wins])
async def test_what_was_kept_and_not_sent_is_sent_and_told_when_it_comes_again(stage: Any, strategy: Strategy) -> None:
    world = World(stage, strategy)
    await world.take(world.said("crm", 7, name="Roma"))
    last = world.said("app", 1, NOW + 1, name="Napoli")
    if strategy is manual:
        await world.take(last)
        (told,) = world.conflicts()
        last = world.decided(told, told.sides[0].content)
    stage.kafka.fails = without_outputs
    with pytest.raises(PublishFailed):
        await world.take(last)
    stage.kafka.fails = working
    _, world.reconciler = world.another()
    await world.take(last)
    assert world.shown() == [("Roma", NOW << 16), ("Napoli", (NOW + 1) << 16)]
    *_, entry = world.conflicts()
    assert (entry.status, entry.verdict is not None) == (
        ("decided", True) if strategy is manual else ("settled", False)
    )


async def test_while_nobody_has_decided_the_last_agreed_content_stands_and_a_decision_is_told_with_who_and_why(
    stage: Any,
) -> None:
    world = World(stage, manual)
    await world.reconciler.count([0])
    await world.take(world.said("crm", 7, name="Roma"))
    await world.take(world.said("app", 1, name="Napoli"))
    await world.take(world.said("app", 2, NOW + 1, name="Torino"))
    first, told = world.conflicts()
    assert world.shown() == [("Roma", NOW << 16)]
    assert (told.status, told.id) == ("undecided", first.id)
    assert [(side.content or {})["name"] for side in told.sides] == ["Torino", "Roma"]
    assert world.figures()["stream_conflict_entities", "undecided"] == 1
    await world.take(world.decided(told, told.sides[0].content))
    assert world.shown()[1:] == [("Torino", (NOW + 1) << 16)]
    *_, last = world.conflicts()
    assert last.verdict is not None
    assert (last.id, last.status, last.verdict.by, last.verdict.why) == (told.id, "decided", "ann", "called them")
    assert world.figures()["stream_conflict_entities", "undecided"] == 0
    await world.take(world.decided(told, None))
    assert len(world.shown()) == 2
    assert world.figures()["stream_conflict_claims_total", "late"] == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"seen": {"crm": 7, "app": 9}}, "said something else since"), ({}, "`name`")],
)
async def test_a_decision_that_does_not_hold_is_told_with_the_reason(stage: Any, changed: Any, said: str) -> None:
    world = World(stage, manual)
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    (told,) = world.conflicts()
    await world.take(world.decided(told, {"id": "p1"}, **changed))
    *_, last = world.conflicts()
    assert last.verdict is not None
    assert (last.status, said in last.verdict.refused) == ("undecided", True)
    assert len(world.shown()) == 1


async def test_sources_that_come_to_agree_by_themselves_end_the_conflict(stage: Any) -> None:
    world = World(stage, manual)
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    await world.take(world.said("crm", 8, name="Napoli"))
    assert [told.status for told in world.conflicts()] == ["undecided", "settled"]
    assert world.shown()[-1][0] == "Napoli"


async def test_whoever_takes_a_partition_over_counts_its_entities_from_the_table(stage: Any) -> None:
    world = World(stage, manual)
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    world.registry, world.reconciler = world.another()
    await world.reconciler.count([0])
    assert world.figures()["stream_conflict_entities", "undecided"] == 1
    assert world.figures()["stream_conflict_entities", "agreed"] == 0
    await world.reconciler.count([])
    assert world.figures() == {}


async def test_an_entity_is_counted_once_though_the_worker_was_killed_before_it_was_kept(stage: Any) -> None:
    world = World(stage, manual)
    first = world.said("crm", 7, name="Roma")
    stage.kafka.fails = without_entities
    with pytest.raises(PublishFailed):
        await world.take(first)
    (kept,) = stage.of("tallies-log")
    async with stage.transactions.turn(0) as restored:
        restored.view(world.tables.tallies).put("place", world.tables.tallies.decode(kept.value).value, first)
        restored.commit_after(lambda: stage.kafka.publish([]))
    stage.kafka.fails = working
    await world.take(first, world.said("app", 1, name="Napoli"))
    assert stage.state(world.tables.tallies) == {"place": Tally(1, 1)}


async def test_a_claim_without_a_value_has_all_forgotten_that_was_known_of_an_entity(stage: Any) -> None:
    world = World(stage, manual)
    await world.reconciler.count([0])
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    nothing = world.record(world.catalogue.claims.name, "place:p1", None)
    await world.take(nothing, nothing)
    assert stage.state(world.tables.entities) == {}
    last = stage.of(world.catalogue.conflicts.name)[-1]
    assert (last.key, last.value) == (b"place:p1", None)
    assert world.figures()["stream_conflict_entities", "undecided"] == 0
    assert world.figures()["stream_conflict_claims_total", "forgotten"] == 1
    assert len(world.shown()) == 1


async def test_that_an_entity_was_forgotten_is_told_when_the_record_comes_again(stage: Any) -> None:
    world = World(stage, manual)
    await world.take(world.said("crm", 7, name="Roma"), world.said("app", 1, name="Napoli"))
    nothing = world.record(world.catalogue.claims.name, "place:p1", None)
    stage.kafka.fails = without_outputs
    with pytest.raises(PublishFailed):
        await world.take(nothing)
    stage.kafka.fails = working
    await world.take(nothing)
    assert [one.value is None for one in stage.of(world.catalogue.conflicts.name)] == [False, True]


async def test_what_is_no_claim_becomes_a_dead_letter_and_the_others_go_on(stage: Any) -> None:
    world = World(stage, last_write_wins)
    claims, good = world.catalogue.claims.name, {"id": "p1", "name": "Roma", "kind": "hotel"}
    wrong: list[dict[str, Any]] = [
        {"table": "public.users", "id": "p1", "content": {"id": "p1"}},
        {"table": "public.restaurants", "id": "p1", "content": good},
        {"table": "public.places", "id": "p1", "content": {"id": "p1", "kind": "hotel"}, "version": 9},
    ]
    first = world.said("crm", 7, name="Roma")
    records = [
        world.record(claims, "place:p1", json.dumps({"source": "x", "version": 1, "at_ms": NOW, **one}).encode())
        for one in wrong
    ]
    bad = [*records, world.record(claims, "place:p1", b"{"), world.said("x", 1, key="place:other", name="Roma")]
    await world.take(first, *bad, world.said("crm", 8, NOW + 1, name="Napoli"))
    reasons = [header_map(one.headers)[ERROR_MESSAGE] for one in stage.letters()]
    expected = ["has a strategy", "is a row of public.places", "`name`", "truncated", "key of the record"]
    assert [word in reason for word, reason in zip(expected, reasons, strict=True)] == [True] * 5, reasons
    assert world.shown() == [("Napoli", (NOW + 1) << 16)]
