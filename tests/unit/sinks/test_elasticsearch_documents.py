"""Ids, documents, outcomes and the settling of several sources, without a server."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.conformance.model import Model, Step, histories
from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome, Rejected, Retry
from connectors.sinks.elasticsearch.bulk import outcomes
from connectors.sinks.elasticsearch.documents import LONGEST_ID, REGISTER_ID, body, document_id
from connectors.sinks.elasticsearch.lines import Key, Known, Operation, Ready, settle
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.elasticsearch.schema import alias_actions, differences, mapping, number_of, template
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from schemas.writes import SearchWrite

names = st.text(min_size=1, max_size=300).filter(lambda text: text.encode(errors="ignore").decode() == text)


def write(entity: str, version: int = 1, source: str = "s", **fields: Any) -> SearchWrite:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return SearchWrite(entity=entity, version=version, source=source, event_id="e", occurred_at=at, **fields)


@given(names, names, names, names)
def test_different_entities_and_sources_have_different_ids_that_fit(a: str, b: str, c: str, d: str) -> None:
    one, other = document_id(a, b), document_id(c, d)
    assert (one == other) == ((a, b) == (c, d))
    assert len(one.encode()) <= LONGEST_ID
    assert one != REGISTER_ID


def test_a_source_cannot_end_where_an_entity_begins() -> None:
    assert document_id("b|c", "a") != document_id("c", "a|b")


def test_a_document_has_what_is_searched_and_a_tombstone_nothing_of_it() -> None:
    full = write("e", name="n", text="t", kind="k", lat=1.0, lon=2.0, score=0.5, fields={"a": 1})
    found = msgspec.json.decode(body(full))
    assert found["location"] == {"lat": 1.0, "lon": 2.0}
    assert "state" not in found
    gone = msgspec.json.decode(body(msgspec.structs.replace(full, op="delete")))
    at = "2026-05-01T00:00:00+00:00"
    assert gone == {"entity": "e", "source": "s", "version": 1, "occurred_at": at, "state": "deleted"}


def item(status: int, kind: str = "", reason: str = "") -> dict[str, Any]:
    return {"index": {"status": status, **({"error": {"type": kind, "reason": reason}} if kind else {})}}


def answered(*items: dict[str, Any]) -> list[Outcome]:
    return outcomes({"errors": True, "items": list(items)}, len(items))


def test_each_item_of_a_response_has_its_own_outcome() -> None:
    found = answered(
        item(201),
        item(409, "version_conflict_engine_exception"),
        item(429, "es_rejected_execution_exception"),
        item(503, "unavailable_shards_exception"),
        item(400, "document_parsing_exception", "bad. Preview of field's value: 'secret'"),
        item(403, "cluster_block_exception"),
    )
    assert found[:2] == [APPLIED, SUPERSEDED]
    assert [type(one) for one in found[2:]] == [Retry, Retry, Rejected, Retry]
    assert "secret" not in str(found)
    assert outcomes({"errors": False}, 3) == [APPLIED] * 3


def test_a_store_that_takes_nothing_is_unavailable_and_no_dead_letter() -> None:
    with pytest.raises(Unavailable) as caught:
        answered(item(403, "cluster_block_exception"), item(403, "cluster_block_exception"))
    assert caught.value.after == 1.0
    with pytest.raises(Unavailable):
        answered(item(429, "es_rejected_execution_exception", "operation_bytes=9, max_primary_bytes=100"))
    with pytest.raises(BatchTooLarge):
        answered(item(429, "es_rejected_execution_exception", "primary_operation_bytes=900, max_primary_bytes=100"))


def test_a_response_to_another_request_is_fatal() -> None:
    with pytest.raises(Fatal, match="proxy"):
        outcomes({"errors": True, "items": []}, 1)


@given(histories(["a", "b"], ["one", "one", "two"]))
def test_what_several_sources_say_is_settled_as_a_model_does(batches: list[list[Step]]) -> None:
    model = Model()
    held: dict[Key, Known] = {}
    last: dict[str, tuple[str, bool]] = {}
    for steps in batches:
        expected = [model.apply(step) for step in steps]
        ready = [
            Ready(place, write(step.entity, step.version, step.source, op="delete" if step.deleted else "upsert"), b"")
            for place, step in enumerate(steps)
        ]
        settled = settle(ready, held)
        found = dict(settled.outcomes)
        for operation in (*settled.hides, *settled.writes):
            found.update((place, APPLIED) for place in operation.indices)
        assert [found[place] for place in range(len(steps))] == expected
        for step, outcome in zip(steps, expected, strict=True):
            if outcome == APPLIED:
                last[step.entity] = (step.source, step.deleted)
        _apply(held, settled.hides, settled.writes, ready)
        for entity, (source, deleted) in last.items():
            seen = [key for key, known in held.items() if key[0] == entity and known.state is None]
            assert seen == ([] if deleted else [(entity, source)])
        assert {key: (known.version, known.state == "deleted") for key, known in held.items()} == model.versions


def _apply(held: dict[Key, Known], hides: list[Operation], writes: list[Operation], ready: list[Ready]) -> None:
    ids = {document_id(entity, source): (entity, source) for entity in "ab" for source in ("one", "two")}
    for operation in hides:
        held[ids[operation.document]] = Known(operation.version, "replaced", operation.version)
    for operation in writes:
        newest = ready[operation.indices[-1]].write
        held[ids[operation.document]] = Known(
            operation.version, "deleted" if newest.op == "delete" else None, operation.version
        )


def test_korean_is_split_by_nori_where_it_is_and_else_into_bigrams() -> None:
    options = ElasticsearchOptions()
    analyzers = {
        korean: template(options, korean)["template"]["settings"]["index"]["analysis"]["analyzer"]
        for korean in ("nori", "bigram", "none")
    }
    assert analyzers["nori"]["travelos_korean"]["tokenizer"] == "nori_tokenizer"
    assert "cjk_bigram" in analyzers["bigram"]["travelos_korean"]["filter"]
    assert "travelos_korean" not in analyzers["none"]
    assert "korean" not in mapping("none")["properties"]["name"]["fields"]


def test_aliases_move_in_one_step_and_readers_never_see_tombstones() -> None:
    options = ElasticsearchOptions(index="places")
    actions = alias_actions(options, "places-2", "places-1")
    assert [next(iter(action)) for action in actions] == ["add", "add", "remove", "remove"]
    assert actions[0]["add"]["filter"] == {"bool": {"must_not": {"exists": {"field": "state"}}}}
    assert [number_of(options, name) for name in ("places-12", "places-write", "other-1")] == [12, 0, 0]


def test_a_field_of_another_type_is_a_difference() -> None:
    wanted = mapping("none")
    assert differences(wanted, wanted) == []
    other = msgspec.json.decode(msgspec.json.encode(wanted))
    other["properties"]["location"] = {"type": "keyword"}
    del other["properties"]["score"]
    assert differences(wanted, other) == ["location", "score"]


@pytest.mark.parametrize(
    ("given_options", "named"),
    [
        ({"url": "es:9200"}, "`url`"),
        ({"url": "https://elastic:secret@es"}, "`password`"),
        ({"index": "Upper"}, "`index`"),
        ({"api_key": "secret", "username": "elastic"}, "`api_key`"),
    ],
)
def test_options_of_elasticsearch_that_cannot_be_used_are_told_by_name(
    given_options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        ElasticsearchOptions(**given_options)
    assert "secret" not in str(caught.value)


def test_the_secrets_of_elasticsearch_are_in_no_repr() -> None:
    assert "hidden" not in repr(ElasticsearchOptions(username="u", password="hidden"))
    assert "hidden" not in repr(ElasticsearchOptions(api_key="hidden"))
