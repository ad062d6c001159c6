"""One Neo4j for all tests of its sink; each begins with an empty graph, as the Community edition has one database."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local.neo4j import Neo4jServer
from tests.integration.sinks.neo4j_graph import Graph


@pytest.fixture(scope="session")
def neo4j_server(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    server = start_server(Neo4jServer(tmp_path_factory.mktemp("neo4j")))
    yield server
    server.delete()


@pytest.fixture(scope="session")
def graph_of_all(neo4j_server: Neo4jServer) -> Iterator[Graph]:
    graph = Graph(neo4j_server)
    yield graph
    graph.driver.close()


@pytest.fixture
def graph(graph_of_all: Graph) -> Graph:
    graph_of_all.query("MATCH (n) DETACH DELETE n")
    return graph_of_all
