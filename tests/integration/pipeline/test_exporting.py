"""The access right on real Kafka and embedded stores: all of a person, sensitive fields in clear, nothing of others."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.events import DetailsGiven, MessageSent, PreferenceStated
from schemas.writes import STORES
from streams.cli.main import command_line

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NOW = datetime.now(UTC)


def events_of(user: str) -> list[Any]:
    common: dict[str, Any] = {"user_id": user, "occurred_at": NOW}
    return [
        PreferenceStated(**common, event_id=f"{user}-1", category="cuisine", value=f"{user}'s kimchi", strength=0.9),
        MessageSent(
            **common, event_id=f"{user}-2", conversation_id=f"c-{user}", role="user", text=f"{user} says hello"
        ),
        DetailsGiven(**common, event_id=f"{user}-3", email=f"{user}@example.org"),
    ]


@pytest.mark.parametrize("pipeline", [{"keys.store": "sqlite"}], indirect=True)
def test_all_that_is_held_about_a_person_is_exported_and_nothing_of_others(pipeline: Any) -> None:
    pipeline.publish([*events_of("ann"), *events_of("rob")])
    for role in ("ingest", "deliver"):
        pipeline.start(role, role)
    pipeline.settle()
    done = CliRunner(env=dict(pipeline.environment)).invoke(command_line(["export"]), ["export", "ann"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert {one["event_id"] for one in document["items"]} == {"ann-1", "ann-2", "ann-3"}
    assert {one["store"] for one in document["items"]} >= {"graph", "vector", "relational", "warehouse"}
    sent = [one["content"] for one in document["events"] if one["topic"].endswith("user-events")]
    assert {one["event_id"] for one in sent} == {"ann-1", "ann-2", "ann-3"}
    text = json.dumps(document)
    assert "sealed:1:" not in text
    assert "ann@example.org" in json.dumps(document["items"])
    assert "rob" not in text
    assert document["failed"] == {}
    assert set(document["by_writes_only"]) < set(STORES)
