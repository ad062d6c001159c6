"""Correcting a part of a value, and telling whether a record would be read now."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import MessageSent, encode_event
from schemas.topics import Catalogue
from schemas.writes import CacheWrite, GraphWrite, NodeRef, WarehouseWrite, encode_write
from streams.corrections import BadCorrection, corrected, problem_of

CATALOGUE = Catalogue()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMON: dict[str, Any] = {"entity": "e", "version": 1, "source": "s", "event_id": "x", "occurred_at": NOW}
EVENT = encode_event(
    MessageSent(event_id="m", user_id="u1", occurred_at=NOW, conversation_id="c", role="user", text="t")
)
NODE = encode_write(GraphWrite(**COMMON, node=NodeRef("Place", "p1")))
CACHE = encode_write(CacheWrite(**COMMON, key="k"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["a=2"], {"a": 2, "b": {"c": [1, {"d": None}]}}),
        (["b.c.0=true", "a=text"], {"a": "text", "b": {"c": [True, {"d": None}]}}),
        (['b.c.1.d={"e": [0]}'], {"a": 1, "b": {"c": [1, {"d": {"e": [0]}}]}}),
        (["new=", "b.also=a=b"], {"a": 1, "b": {"c": [1, {"d": None}], "also": "a=b"}, "new": ""}),
        (["a=1"], {"a": 1, "b": {"c": [1, {"d": None}]}}),
    ],
)
def test_parts_of_a_value_are_replaced_where_their_path_leads(settings: list[str], expected: object) -> None:
    assert json.loads(corrected(b'{"a": 1, "b": {"c": [1, {"d": null}]}}', settings)) == expected


@pytest.mark.parametrize(
    ("value", "setting", "reason"),
    [
        (b"{", "a=1", "the value is no JSON"),
        (None, "a=1", "the value is no JSON"),
        (b"\xff", "a=1", "the value is no JSON"),
        (b"{}", "a", "expected path=value, got 'a'"),
        (b"{}", "=1", "expected path=value"),
        (b"{}", "a.b=1", "nothing is at `a.b`: there is no `a`"),
        (b'{"a": [1]}', "a.1=1", "a list of 1 has no `1`"),
        (b'{"a": [1]}', "a.x=1", "a list of 1 has no `x`"),
        (b'{"a": 1}', "a.b=1", "nothing is at `a.b`"),
        (b"1", "a=1", "nothing is at `a`"),
    ],
)
def test_what_leads_nowhere_is_named(value: bytes | None, setting: str, reason: str) -> None:
    with pytest.raises(BadCorrection) as caught:
        corrected(value, [setting])
    assert reason in str(caught.value)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(), min_size=1), st.integers())
def test_nothing_but_what_is_named_changes(document: dict[str, int], number: int) -> None:
    name = next(iter(document))
    after = json.loads(corrected(json.dumps(document).encode(), [f"{name}={number}"]))
    assert after == {**document, name: number}


@pytest.mark.parametrize(
    ("topic", "key", "value", "problem"),
    [
        (CATALOGUE.user_events.name, b"u1", EVENT, None),
        (CATALOGUE.user_events.name, b"u2", EVENT, "the key is not the event's `user_id`"),
        (CATALOGUE.user_events.name, None, EVENT, "the key is not"),
        (CATALOGUE.gps_events.name, b"u1", b"{}", "required field"),
        (CATALOGUE.urgent_events.name, b"u1", None, "truncated"),
        (CATALOGUE.user_events.name, b"u1", b"\x00\x00\x00\x00\x01{}", None),  # only the registry could tell
        (CATALOGUE.writes("graph").name, b"Place:p1", NODE, None),
        (CATALOGUE.writes("graph", "urgent").name, b"e", NODE, "the key is not the one of the write's entity"),
        (CATALOGUE.deferred("cache").name, b"e", CACHE, None),
        (CATALOGUE.writes("cache").name, b"Place:p1", NODE, "Expected a write for the store cache"),
        (CATALOGUE.writes("cache").name, b"e", b"{}", "missing required field"),
        (CATALOGUE.changes["public.places"].name, b"?", b"?", None),
    ],
)
def test_it_is_told_whether_a_record_would_be_read(
    topic: str, key: bytes | None, value: bytes | None, problem: str | None
) -> None:
    found = problem_of(topic, key, value, CATALOGUE)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


def test_a_write_that_its_store_may_still_reject_can_be_read() -> None:
    write = WarehouseWrite(**COMMON, dataset="events", day=date(2026, 1, 1))
    assert problem_of(CATALOGUE.writes("warehouse").name, b"e", encode_write(write), CATALOGUE) is None
