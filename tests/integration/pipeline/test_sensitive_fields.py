"""Sensitive fields through a whole pipeline: sealed in every topic and store behind intake, found, read, and gone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kafka.reading import read_topics
from connectors.keys.reading import GONE, FieldValue, unseal
from schemas.events import DetailsGiven, MessageSent
from streams.keys import keys_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NOW = datetime.now(UTC)


def details(user: str) -> DetailsGiven:
    return DetailsGiven(
        event_id=f"{user}-1",
        user_id=user,
        occurred_at=NOW,
        email=f"{user}@secret.example",
        passport=f"PASS{user}",
        home="geo:52.20531,0.12177",
    )


def plain_in(pipeline: Any) -> list[str]:
    """Return where something readable lies behind intake: topics, and files of stores and state."""
    words = (b"@secret.example", b"PASSann", b"PASSbob", b"52.20531")
    catalogue = pipeline.catalogue
    topics = [topic.name for topic in catalogue if topic.name != catalogue.user_events.name]
    found = [
        record.topic
        for record in read_topics(pipeline.options.kafka.connection(), topics)
        if any(word in (record.value or b"") for word in words)
    ]
    files = (path for path in pipeline.options.data_dir.rglob("*") if path.is_file())
    return found + [str(path) for path in files if any(word in path.read_bytes() for word in words)]


@pytest.mark.parametrize("pipeline", [{"keys.store": "sqlite"}], indirect=True)
def test_sensitive_fields_are_sealed_found_and_read_until_the_key_is_destroyed(pipeline: Any) -> None:
    pipeline.start("ingest")
    pipeline.start("deliver")
    message = MessageSent(
        event_id="m1", user_id="ann", occurred_at=NOW, conversation_id="c", role="user", text="a quiet place?"
    )
    pipeline.publish([details("ann"), message, details("bob")])
    pipeline.settle()
    keys = keys_of(pipeline.options)
    assert keys is not None
    keys.open()
    with pipeline.readers().relational() as reader:

        def rows(index: str) -> list[dict[str, Any]]:
            return reader.query("SELECT * FROM traveller_details WHERE email_index = %s", [index])

        (ann,), (bob,) = (
            [row for index in keys.masters.indexes("email", f"{user}@secret.example") for row in rows(index)]
            for user in ("ann", "bob")
        )
    fields = [FieldValue(row["user_id"], name, row[name]) for row in (ann, bob) for name in ("email", "passport")]
    assert unseal(keys, fields) == ["ann@secret.example", "PASSann", "bob@secret.example", "PASSbob"]
    keys.destroy(["ann"])
    assert unseal(keys, fields) == [GONE, GONE, "bob@secret.example", "PASSbob"]
    keys.close()
    assert plain_in(pipeline) == []
    assert pipeline.letters() == []
