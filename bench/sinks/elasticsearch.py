"""Search: restaurants, each written twice, beside `helpers.parallel_bulk` of the Python client.

Peer: four threads (its default), 2,000 documents a request, ids and no versions, the same mapping
(https://elasticsearch-py.readthedocs.io/en/stable/helpers.html).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from elasticsearch import Elasticsearch, helpers
from msgspec import structs

from bench.sinks.measured import AT, Bench, deliver, rate
from connectors.sinks.elasticsearch import ElasticsearchOptions, ElasticsearchSink
from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.elasticsearch.server import VERSION
from schemas.writes import SearchWrite

BAR = 0.9
PEER = "parallel_bulk"
THREADS = 4
CHUNK = 2_000
TIMES = 2  # as many writes as of a store that takes some ten thousand a second, so that a round lasts as long


def measure(bench: Bench) -> None:
    """Run the row."""
    name = "elasticsearch"
    server = ElasticsearchServer(bench.folder / name, heap="1g", steady=True)
    server.start()
    try:
        client = Elasticsearch(server.address, basic_auth=("elastic", server.password), request_timeout=60)
        count = TIMES * bench.options.writes // 2
        documents = [_document(place, number) for number in (1, 2) for place in range(count)]
        writes = [_write(one, number) for number in (1, 2) for one in documents[(number - 1) * count :][:count]]
        for number in bench.turns:
            options = ElasticsearchOptions(
                url=server.address, username="elastic", password=server.password, index=f"bench{number}"
            )
            contenders = {
                PEER: partial(_peer, client, options, documents),
                "ours": partial(_ours, client, options, writes),
            }
            bench.in_turns(name, number, contenders)
        client.close()
    finally:
        server.delete()
    bench.compare(name, PEER, BAR)
    bench.setup |= {"elasticsearch": VERSION, "elasticsearch_client": version("elasticsearch")}


def _peer(client: Elasticsearch, options: ElasticsearchOptions, documents: Sequence[dict[str, Any]]) -> float:
    like = structs.replace(options, index=f"like-{options.index}")  # not `bench1-like`: templates may not overlap
    sink = ElasticsearchSink(like)
    sink.open()
    sink.close()
    first = f"{like.index}-1"
    mapping = client.indices.get_mapping(index=first)[first]["mappings"]
    analysis = client.indices.get_settings(index=first)[first]["settings"]["index"]["analysis"]
    client.indices.delete(index=first)
    client.indices.create(
        index="peer",
        mappings=mapping,
        settings={"analysis": analysis, "number_of_replicas": 0, "refresh_interval": "1s"},
    )
    found = rate(len(documents), lambda: _parallel_bulk(client, documents))
    _check(client, "peer", len(documents) // 2)
    client.indices.delete(index="peer")
    return found


def _ours(client: Elasticsearch, options: ElasticsearchOptions, writes: Sequence[SearchWrite]) -> float:
    sinks = [ElasticsearchSink(options) for _ in range(options.requests)]
    for sink in sinks:
        sink.open()
    found = rate(len(writes), lambda: deliver(sinks, writes))
    _check(client, options.index, len(writes) // 2)
    for sink in sinks:
        sink.close()
    client.indices.delete(index=f"{options.index}-1")
    return found


def _parallel_bulk(client: Elasticsearch, documents: Sequence[dict[str, Any]]) -> None:
    actions: Iterator[dict[str, Any]] = ({"_index": "peer", "_id": one["entity"], "_source": one} for one in documents)
    deque(helpers.parallel_bulk(client, actions, thread_count=THREADS, chunk_size=CHUNK), maxlen=0)


def _check(client: Elasticsearch, index: str, count: int) -> None:
    client.indices.refresh(index=f"{index}*")
    found = client.count(index=index)["count"]
    if found != count:
        raise SystemExit(f"{index} has {found} documents, not {count}")


def _document(number: int, version: int) -> dict[str, Any]:
    return {
        "entity": f"place:{number}",
        "source": "travel",
        "occurred_at": AT.isoformat(),
        "kind": "restaurant",
        "name": f"Trattoria {number}",
        "text": f"Handmade pasta and wine in Soho, table {number % 97}, open late; regulars order the ragu",
        "location": {"lat": 40.7 + number % 1_000 / 1e4, "lon": -74.0},
        "score": version / 10,
        "fields": {"city": "new-york", "area": "Soho", "cuisine": "italian", "price": number % 4},
    }


def _write(document: dict[str, Any], version: int) -> SearchWrite:
    return SearchWrite(
        entity=document["entity"],
        version=version,
        source="travel",
        event_id="e",
        occurred_at=AT,
        kind=document["kind"],
        name=document["name"],
        text=document["text"],
        **document["location"],
        score=document["score"],
        fields=document["fields"],
    )
