"""Intake redeems claims: the value, a dead letter, or another try."""

from datetime import UTC, datetime
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
from streams.runtime.publisher import TryAgain


def pass_of(stage: Any, values: LargeValues) -> EventPass:
    return EventPass(stage.ingest(unframe=values.redeeming(unframe_without_registry)), "normal")


def claimed(stage: Any, claim: Claim) -> Any:
    value, header = encode_claim(claim)
    return stage.record(stage.catalogue.user_events.name, 1, b"ann", value, headers=[header])


def event_bytes() -> bytes:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    large = "x" * 30_000
    event = MessageSent(event_id="e1", user_id="ann", occurred_at=at, conversation_id="c", role="user", text=large)
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


async def test_an_object_store_that_is_away_holds_the_batch(stage: Any, tmp_path: Path) -> None:
    class Away(FolderStorage):
        def get(self, path: str) -> Found | None:
            raise Unavailable("the object store is restarting")

    claim = LargeValues(FolderStorage(tmp_path)).put(event_bytes(), "application/json")
    with pytest.raises(TryAgain, match="restarting"):
        await pass_of(stage, LargeValues(Away(tmp_path))).process([claimed(stage, claim)])
    assert stage.kafka.records == []
