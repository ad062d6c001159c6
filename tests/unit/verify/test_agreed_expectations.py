"""What the stores must hold of entities of which several sources speak: what those have agreed on."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.kafka.reading import StoredRecord
from schemas.conflicts import ConflictCommand, EntityClaim, encode_conflict_record
from schemas.topics import Catalogue
from schemas.wire import unframe_without_registry
from schemas.writes import GraphWrite, SearchWrite
from streams.agents.intake import IntakeRules
from streams.conflicts.rules import Rule, Rules
from streams.conflicts.strategies import Strategy, last_write_wins, manual
from streams.enrichment.track import GpsRules
from streams.routing.entities import AGREED
from streams.verify.agreement import Settled
from streams.verify.model import Expected, expect

AT = 1_777_636_800_000
CATALOGUE = Catalogue()
OURS, THEIRS = "cdc.travel", "cdc.crm"
ROW: dict[str, Any] = {"id": "p1", "kind": "hotel"}


def record(topic: str, offset: int, key: str, value: bytes | None, at_ms: int = AT) -> StoredRecord:
    return StoredRecord(topic=topic, partition=0, offset=offset, timestamp=at_ms, key=key.encode(), value=value)


def changed(source: str, lsn: int, name: str, at_ms: int) -> StoredRecord:
    told = {"version": "3.4", "connector": "postgresql", "db": "d", "schema": "public", "table": "places"}
    change = {
        "op": "u",
        "before": None,
        "after": ROW | {"name": name},
        "source": {**told, "name": source, "lsn": lsn, "ts_ms": at_ms},
    }
    topic = CATALOGUE.changes_of("public.places", source).name
    return record(topic, lsn, json.dumps({"id": "p1"}), json.dumps(change).encode())


def said(source: str, version: int, name: str, at_ms: int, offset: int, **other: Any) -> StoredRecord:
    claim = EntityClaim(
        table="public.places", id="p1", source=source, version=version, at_ms=at_ms, content=ROW | {"name": name}
    )
    given: dict[str, Any] = {"key": "place:p1", **other}
    return record(CATALOGUE.claims.name, offset, given["key"], encode_conflict_record(claim), at_ms)


def expectation(
    changes: Sequence[StoredRecord], heard: Sequence[StoredRecord], strategy: Strategy = last_write_wins
) -> Expected:
    rules = Rules(types={"place": Rule(strategy="as told", settle=strategy)})
    return expect(
        [],
        changes,
        rules=IntakeRules(),
        unframe=unframe_without_registry,
        gps=GpsRules(),
        nearest_metres=150,
        settled=Settled(rules, CATALOGUE, heard),
    )


def shown(expected: Expected) -> tuple[str, int]:
    """Return what search must say of the place, and the version; of one line only."""
    (write,) = [one for one in expected.newest.values() if isinstance(one, SearchWrite)]
    assert write.source == AGREED
    return write.name, write.version


def test_of_what_two_sources_said_what_they_agreed_on_is_expected_and_the_history_of_both() -> None:
    changes = [changed(OURS, 9, "Roma", AT + 2), changed(THEIRS, 3, "Napoli", AT)]
    heard = [said(OURS, 9, "Roma", AT + 2, 0), said(THEIRS, 3, "Napoli", AT, 1)]
    expected = expectation(changes, heard)
    assert shown(expected)[0] == "Roma"
    history = {source for store, _, source in expected.newest if store == "warehouse"}
    assert (history, expected.letters, expected.changes) == ({OURS, THEIRS}, {}, 2)
    assert {one.source for one in expected.newest.values() if isinstance(one, GraphWrite)} == {AGREED}


def test_claims_that_came_by_themselves_or_twice_count_in_the_order_of_their_topic() -> None:
    heard = [said("app", 1, "Milano", AT, 0), said("app", 1, "Milano", AT, 1), said("app", 2, "Torino", AT, 2)]
    assert shown(expectation([], heard)) == ("Torino", (AT << 16) + 2)


def test_a_claim_that_never_came_to_its_topic_is_expected_all_the_same() -> None:
    changes = [changed(OURS, 9, "Roma", AT), changed(OURS, 10, "Nuova Roma", AT + 9)]
    lost = expectation(changes, [said(OURS, 9, "Roma", AT, 0)])
    assert shown(lost) == ("Nuova Roma", (AT + 9) << 16)
    heard = [said(OURS, 9, "Roma", AT, 0), said(OURS, 10, "Nuova Roma", AT + 9, 1)]
    assert shown(lost) == shown(expectation(changes, heard))


def test_while_nobody_has_decided_the_last_agreed_content_is_expected_and_then_the_decision() -> None:
    heard = [said(OURS, 9, "Roma", AT, 0), said(THEIRS, 3, "Napoli", AT + 1, 1)]
    assert shown(expectation([], heard, manual))[0] == "Roma"

    def decided(seen: dict[str, int]) -> StoredRecord:
        command = ConflictCommand(
            id=f"place:p1/{THEIRS}/3",
            entity="place:p1",
            seen=seen,
            content=ROW | {"name": "Torino"},
            by="ann",
            at=datetime(2026, 11, 21, tzinfo=UTC),
            why="called them",
        )
        return record(CATALOGUE.conflict_commands.name, 0, "place:p1", encode_conflict_record(command), AT + 5)

    assert shown(expectation([], [*heard, decided({OURS: 9, THEIRS: 3})], manual))[0] == "Torino"
    assert shown(expectation([], [*heard, decided({OURS: 9, THEIRS: 2})], manual))[0] == "Roma"


def test_a_claim_that_is_refused_is_an_expected_dead_letter_with_its_reason() -> None:
    expected = expectation([], [said(OURS, 1, "Roma", AT, 7, key="place:other")])
    ((position, reason),) = expected.letters.items()
    assert position == (CATALOGUE.claims.name, 0, 7)
    assert "'place:p1'" in reason
    assert expected.newest == {}
