"""One Elasticsearch for all tests of its sink; each uses an alias of its own."""

from collections.abc import Callable, Generator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from connectors.sinks.elasticsearch import ElasticsearchOptions, ElasticsearchSink
from deploy.local.elasticsearch import ElasticsearchServer


@pytest.fixture(scope="session")
def elasticsearch_server(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ElasticsearchServer]:
    server = start_server(ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch")))
    yield server
    server.delete()


@pytest.fixture(scope="session")
def client(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    with Elasticsearch(
        elasticsearch_server.address, basic_auth=("elastic", elasticsearch_server.password), request_timeout=60
    ) as client:
        yield client


@pytest.fixture
def options(elasticsearch_server: ElasticsearchServer, client: Elasticsearch) -> Iterator[ElasticsearchOptions]:
    options = ElasticsearchOptions(
        url=elasticsearch_server.address,
        username="elastic",
        password=elasticsearch_server.password,
        index=f"t{uuid4().hex}",
    )
    yield options
    for index in client.indices.get(index=f"{options.index}-*").body:
        client.indices.delete(index=index)
    client.indices.delete_index_template(name=options.index)


@pytest.fixture
def sink(options: ElasticsearchOptions) -> Generator[ElasticsearchSink]:
    sink = ElasticsearchSink(options)
    sink.open()
    yield sink
    sink.close()
