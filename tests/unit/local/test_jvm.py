"""How servers on a Java virtual machine are compiled."""

from pathlib import Path

import pytest

from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.jvm import JvmServer
from deploy.local.kafka import KafkaServer
from deploy.local.neo4j import Neo4jServer

QUICKLY = "-XX:TieredStopAtLevel=1"


@pytest.mark.parametrize("kind", [KafkaServer, Neo4jServer, ElasticsearchServer])
def test_a_server_is_up_soon_unless_it_is_to_run_for_long(kind: type[JvmServer], tmp_path: Path) -> None:
    assert QUICKLY in kind(tmp_path).java_options
    assert QUICKLY not in kind(tmp_path, steady=True).java_options


def test_a_server_has_the_heap_that_it_is_given(tmp_path: Path) -> None:
    assert "-Xmx768m" in KafkaServer(tmp_path, heap="768m").java_options
