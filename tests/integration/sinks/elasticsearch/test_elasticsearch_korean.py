"""Korean text in Elasticsearch, with and without nori."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from elasticsearch import Elasticsearch

from connectors.sinks.contract import APPLIED
from connectors.sinks.elasticsearch import ElasticsearchOptions, ElasticsearchSink, reindex
from connectors.sinks.errors import Fatal
from deploy.local.elasticsearch import ElasticsearchServer
from tests.integration.sinks.elasticsearch.search_writes import write

pytestmark = pytest.mark.integration

NAME = "大學 앞 맛집에서"  # a place by the university, written in Chinese characters, with a particle at its end


@pytest.mark.usefixtures("sink")
def test_nori_that_is_asked_for_and_not_installed_is_told_at_the_start(options: ElasticsearchOptions) -> None:
    with pytest.raises(Fatal, match=r"stores\.search\.korean.*analysis-nori") as caught:
        ElasticsearchSink(msgspec.structs.replace(options, korean="nori")).open()
    assert options.password not in str(caught.value)


@pytest.fixture
def node(
    start_server: Callable[[Any], Any], tmp_path: Path
) -> Iterator[Callable[[bool], tuple[Elasticsearch, ElasticsearchOptions]]]:
    """Start one node, again and again, with or without nori."""
    servers: list[ElasticsearchServer] = []
    clients: list[Elasticsearch] = []

    def start(nori: bool) -> tuple[Elasticsearch, ElasticsearchOptions]:
        for one in clients[-1:]:
            one.close()
        for one in servers[-1:]:
            one.stop()
        server = start_server(ElasticsearchServer(tmp_path / "elasticsearch", nori=nori, heap="256m"))
        servers.append(server)
        login = ("elastic", server.password)
        clients.append(Elasticsearch(server.address, basic_auth=login, request_timeout=60))
        return clients[-1], ElasticsearchOptions(
            url=server.address, username=login[0], password=login[1], index="travelos-search"
        )

    yield start
    for one in clients:
        one.close()
    for one in servers[-1:]:
        one.delete()


def found(client: Elasticsearch, options: ElasticsearchOptions, words: str) -> set[str]:
    client.indices.refresh(index=options.index)
    query = {"match": {"name.korean": {"query": words, "operator": "and"}}}
    return {hit["_source"]["entity"] for hit in client.search(index=options.index, query=query)["hits"]["hits"]}


def words_of(client: Elasticsearch, options: ElasticsearchOptions) -> list[str]:
    answer = client.indices.analyze(index=options.index, field="name.korean", text="맛집에서")
    return [token["token"] for token in answer["tokens"]]


def test_nori_is_taken_where_it_is_installed_and_by_an_older_index_when_that_is_made_anew(
    node: Callable[[bool], tuple[Elasticsearch, ElasticsearchOptions]],
) -> None:
    client, options = node(False)
    sink = ElasticsearchSink(options)
    sink.open()
    assert sink.write([write("place:1", 1, NAME)]) == [APPLIED]
    sink.close()
    assert words_of(client, options) == ["맛집", "집에", "에서"]
    assert (found(client, options, "맛집"), found(client, options, "대학")) == ({"place:1"}, set())

    client, options = node(True)
    sink = ElasticsearchSink(options)
    sink.open()
    assert sink.write([write("place:2", 1, NAME)]) == [APPLIED]
    assert words_of(client, options) == ["맛집", "집에", "에서"]  # of an index from before nori
    assert found(client, options, "맛집") == {"place:1", "place:2"}

    reindex(options)
    assert words_of(client, options) == ["맛", "집"]
    assert sink.write([write("place:3", 1, NAME), write("place:4", 1, "호텔")]) == [APPLIED] * 2
    assert found(client, options, "맛집") == {"place:1", "place:2", "place:3"}
    assert found(client, options, "대학") == {"place:1", "place:2", "place:3"}  # as 大學 is read
    sink.close()

    named = msgspec.structs.replace(options, korean="nori", index="another")
    sink = ElasticsearchSink(named)
    sink.open()
    sink.close()
    assert words_of(client, named) == ["맛", "집"]
