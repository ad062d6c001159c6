"""The stand-in for Pinecone beside the SDK: its answers are the SDK's models, and it takes the SDK's requests only."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import httpx
import msgspec
import pytest
from pinecone import ApiError, NotFoundError, Pinecone, UnauthorizedError
from pinecone.index import Index
from pinecone.models.indexes.index import IndexModel
from pinecone.models.vectors.responses import (
    DescribeIndexStatsResponse,
    FetchByMetadataResponse,
    FetchResponse,
    ListResponse,
    QueryResponse,
    UpdateResponse,
    UpsertResponse,
)

from deploy.local.pinecone import PineconeStandIn

ANSWERS: dict[str, Any] = {
    "/things/vectors/upsert": UpsertResponse,
    "/things/vectors/update": UpdateResponse,
    "/things/vectors/delete": dict[str, Any],
    "/things/vectors/fetch": FetchResponse,
    "/things/vectors/fetch_by_metadata": FetchByMetadataResponse,
    "/things/query": QueryResponse,
    "/things/describe_index_stats": DescribeIndexStatsResponse,
    "/things/vectors/list": ListResponse,
    "/indexes": IndexModel,
    "/indexes/things": IndexModel,
}


@pytest.fixture
def service() -> Iterator[PineconeStandIn]:
    service = PineconeStandIn()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def project(service: PineconeStandIn) -> Iterator[Pinecone]:
    with Pinecone(api_key=service.api_key, host=service.url) as project:
        yield project


@pytest.fixture
def index(project: Pinecone) -> Iterator[Index]:
    project.indexes.create(
        name="things", schema={"fields": {"_values": {"type": "dense_vector", "dimension": 2, "metric": "cosine"}}}
    )
    with project.index("things") as index:
        yield index


def test_every_answer_is_one_of_the_sdks_models_and_names_nothing_else(
    service: PineconeStandIn, project: Pinecone, index: Index
) -> None:
    service.recording = True
    index.upsert(vectors=[{"id": "a", "values": [1.0, 0.0], "metadata": {"n": 1, "tags": ["x"]}}], namespace="one")
    index.upsert(vectors=[{"id": f"b{number}", "values": [0.0, 1.0]} for number in range(3)], namespace="one")
    index.update(id="a", set_metadata={"m": True}, namespace="one")
    index.update(filter={"n": {"$gte": 1}}, set_metadata={"m": False}, namespace="one")
    index.fetch(ids=["a", "nobody"], namespace="one")
    index.fetch_by_metadata(filter={"n": {"$eq": 1}}, namespace="one")
    index.query(vector=[1.0, 0.0], top_k=2, namespace="one", include_metadata=True, include_values=True)
    index.query(id="a", top_k=1, namespace="one", filter={"n": 1})
    index.describe_index_stats()
    index.list_paginated(namespace="one", prefix="b", limit=2)
    index.delete(ids=["b0"], namespace="one")
    index.delete(filter={"n": {"$in": [1]}}, namespace="one")
    index.delete(delete_all=True, namespace="one")
    project.indexes.describe("things")
    seen: set[str] = set()
    for exchange in service.exchanges:
        path = exchange.path.partition("?")[0]
        model = ANSWERS[path]
        assert exchange.status == 200, exchange
        msgspec.json.decode(exchange.answer, type=model, strict=True)
        assert unknown(msgspec.json.decode(exchange.answer), model) == set(), path
        seen.add(path)
    assert seen == ANSWERS.keys() - {"/indexes"}


def test_a_created_index_is_described_as_the_sdk_expects(project: Pinecone, index: Index) -> None:
    found = project.indexes.describe("things")
    assert (found.status.ready, found.dimension, found.metric) == (True, 2, "cosine")
    assert [one.name for one in project.indexes.list()] == ["things"]
    project.indexes.delete("things")
    with pytest.raises(NotFoundError):
        project.indexes.describe("things")


def test_what_is_written_is_what_is_read(index: Index) -> None:
    index.upsert(vectors=[("a", [1.0, 0.0], {"n": 1}), ("b", [0.0, 1.0], {"n": 2})], namespace="one")
    index.update(id="a", set_metadata={"m": "x"}, namespace="one")
    assert index.fetch(ids=["a"], namespace="one").vectors["a"].metadata == {"n": 1.0, "m": "x"}
    assert index.fetch(ids=["a"], namespace="two").vectors == {}
    found = index.query(vector=[1.0, 0.1], top_k=5, namespace="one", include_metadata=True)
    assert [one.id for one in found.matches] == ["a", "b"]
    assert [one.id for one in index.query(id="a", top_k=5, namespace="one", filter={"n": {"$gt": 1}}).matches] == ["b"]
    assert [one.id for page in index.list(namespace="one", limit=1) for one in page.vectors] == ["a", "b"]
    assert index.describe_index_stats().namespaces["one"].vector_count == 2
    index.delete(filter={"n": 1}, namespace="one")
    assert list(index.fetch(ids=["a", "b"], namespace="one").vectors) == ["b"]


def test_writes_tell_their_position_and_queries_how_far_they_see(service: PineconeStandIn, project: Pinecone) -> None:
    slow = PineconeStandIn(lags=(60.0,))
    slow.start()
    try:
        with Pinecone(api_key=slow.api_key, host=slow.url) as other:
            other.indexes.create(name="things", dimension=2)
            with other.index("things") as index:
                written = index.upsert(vectors=[("a", [1.0, 0.0])]).response_info
                assert written is not None
                assert written.lsn_committed == 1
                before = index.query(vector=[1.0, 0.0], top_k=1).response_info
                assert before is not None
                assert not before.is_reconciled(1)
                assert index.fetch(ids=["a"]).vectors == {}
                slow.settle()
                after = index.query(vector=[1.0, 0.0], top_k=1).response_info
                assert after is not None
                assert after.is_reconciled(1)
                assert list(index.fetch(ids=["a"]).vectors) == ["a"]
    finally:
        slow.stop()


@pytest.mark.parametrize(
    "vector",
    [
        {"id": "a", "values": [1.0]},
        {"id": "a", "values": [0.0, 0.0]},
        {"id": "a", "values": [1.0, 0.0], "metadata": {"text": "x" * 41_000}},
    ],
    ids=["dimension", "zero", "metadata"],
)
def test_a_request_with_one_bad_record_is_refused_whole(index: Index, vector: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        index.upsert(vectors=[{"id": "good", "values": [1.0, 0.0]}, vector])
    assert caught.value.status_code == 400
    assert index.fetch(ids=["good"]).vectors == {}


def test_limits_of_a_request_are_kept(index: Index) -> None:
    with pytest.raises(ApiError) as caught:
        index.upsert(vectors=[{"id": str(number), "values": [1.0, 0.0]} for number in range(1_001)])
    assert caught.value.status_code == 400
    with pytest.raises(ApiError) as caught:
        index.upsert(
            vectors=[{"id": str(n), "values": [1.0, 0.0], "metadata": {"text": "x" * 40_000}} for n in range(60)]
        )
    assert caught.value.status_code == 413
    with pytest.raises(ApiError) as caught:
        index.fetch(ids=["x" * 400 + str(number) for number in range(30)])
    assert caught.value.status_code == 414


def test_what_the_documentation_does_not_describe_is_refused(service: PineconeStandIn, index: Index) -> None:
    body = {"vectors": [{"id": "a", "values": [1.0, 0.0]}], "surprise": 1}
    answer = httpx.post(f"{service.url}/things/vectors/upsert", json=body, headers={"Api-Key": service.api_key})
    assert answer.status_code == 400
    with pytest.raises(NotFoundError):
        index.delete(ids=["a"], namespace="never written")


def test_another_key_is_refused(service: PineconeStandIn) -> None:
    with Pinecone(api_key="another", host=service.url) as project, pytest.raises(UnauthorizedError):
        project.indexes.describe("things")


def unknown(answer: dict[str, Any], model: Any) -> set[str]:
    """Return the names in an answer that its model does not have, at the top and in the records below."""
    if not (isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return set()
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(model)}
    hints = get_type_hints(model)
    found = {name for name in answer if name not in fields}
    for name in answer.keys() & fields.keys():
        hint = hints[fields[name]]
        inner = [one for one in get_args(hint) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        if inner and get_origin(hint) in (list, dict):
            below: Any = answer[name]
            items: list[Any] = list(below.values()) if get_origin(hint) is dict else below
            found |= {one for item in items for one in unknown(item, inner[0])}
    return found
