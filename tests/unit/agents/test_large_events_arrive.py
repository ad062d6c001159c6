"""Intake redeems claims: the value, a dead letter, or another try."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.large_values import LargeValues
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from connectors.storage.contract import Found
from schemas.claims import Claim, encode_claim
from schemas.events import MessageSent, encode_event
from schemas.wire import unframe_without_registry
from streams.agents.events import EventPass
from streams.runtime.publisher import Outgoing, TryAgain


def pass_of(stage: Any, values: LargeValues) -> EventPass:
    return EventPass(stage.ingest(unframe=values.redeeming(unframe_without_registry)), "normal")


def claimed(stage: Any, claim: Claim, offset: int = 1) -> Any:
    value, header = encode_claim(claim)
    return stage.record(stage.catalogue.user_events.name, offset, b"ann", value, headers=[header])


def event_bytes(number: int = 1) -> bytes:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC) + timedelta(seconds=number)
    large = "x" * 30_000
    event = MessageSent(
        event_id=f"e{number}", user_id="ann", occurred_at=at, conversation_id="c", role="user", text=large
    )
    return encode_event(event)


async def test_a_claim_is_read_as_the_event_it_is_to(stage: Any, tmp_path: Path) -> None:
    values = LargeValues(FolderStorage(tmp_path))
    claim = values.put(event_bytes(), "application/json")
    await pass_of(stage, values).process([claimed(stage, claim)])
    assert stage.letters() == []
    assert {write.entity for write in stage.writes("relational")} != set()


async def test_a_missing_object_is_a_dead_letter_with_its_reason(stage: Any, tmp_path: Path) -> None:
    values = LargeValues(FolderStorage(tmp_path))
    claim = values.put(event_bytes(), "application/json")
    (tmp_path / claim.key).unlink()
    record = claimed(stage, claim)
    await pass_of(stage, values).process([record])
    (letter,) = stage.letters()
    assert letter.value == record.value
    assert b"is missing" in dict(letter.headers)["__connect.errors.exception.message"]
    assert dict(letter.headers)["__travelos.claim"] == claim.sha256.encode()


async def test_of_a_batch_of_claims_no_more_is_in_memory_than_a_part_may_have(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.agents.ingest.PART_BYTES", 100_000)  # three values

    class Counted(FolderStorage):
        fetched = 0

        def get(self, path: str) -> Found | None:
            self.fetched += 1
            return super().get(path)

    storage, ahead = Counted(tmp_path), list[int]()

    def note(_: Sequence[Outgoing]) -> None:
        ahead.append(storage.fetched)

    stage.kafka.fails = note  # at each publish
    values = LargeValues(storage)
    claims = [values.put(event_bytes(number), "application/json") for number in range(10)]
    await pass_of(stage, values).process([claimed(stage, claim, offset) for offset, claim in enumerate(claims)])
    assert sorted(set(ahead)) == [3, 6, 9, 10]
    assert stage.letters() == []
    assert list(dict.fromkeys(write.event_id for write in stage.writes())) == [f"e{number}" for number in range(10)]


async def test_claims_are_redeemed_several_at_once(stage: Any, tmp_path: Path) -> None:
    class Together(FolderStorage):
        others = threading.Barrier(4, timeout=30)

        def get(self, path: str) -> Found | None:
            self.others.wait()
            return super().get(path)

    values = LargeValues(Together(tmp_path))
    claims = [values.put(event_bytes(number), "application/json") for number in range(4)]
    await pass_of(stage, values).process([claimed(stage, claim, offset) for offset, claim in enumerate(claims)])
    assert stage.letters() == []


async def test_a_claim_that_comes_twice_is_redeemed_once_for_each(stage: Any, tmp_path: Path) -> None:
    class Counted(FolderStorage):
        fetched = 0

        def get(self, path: str) -> Found | None:
            self.fetched += 1
            return super().get(path)

    storage = Counted(tmp_path)
    values = LargeValues(storage)
    claim = values.put(event_bytes(), "application/json")
    await pass_of(stage, values).process([claimed(stage, claim, 1), claimed(stage, claim, 2)])
    assert storage.fetched == 2
    assert {write.event_id for write in stage.writes()} == {"e1"}


async def test_an_object_store_that_is_away_holds_the_batch(stage: Any, tmp_path: Path) -> None:
    class Away(FolderStorage):
        def get(self, path: str) -> Found | None:
            raise Unavailable("the object store is restarting")

    claim = LargeValues(FolderStorage(tmp_path)).put(event_bytes(), "application/json")
    with pytest.raises(TryAgain, match="restarting"):
        await pass_of(stage, LargeValues(Away(tmp_path))).process([claimed(stage, claim)])
    assert stage.kafka.records == []
