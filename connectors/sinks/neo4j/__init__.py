"""The graph in Neo4j. Needs the extra `neo4j`."""

from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.neo4j.sink import Neo4jSink

__all__ = ["Neo4jOptions", "Neo4jSink"]
