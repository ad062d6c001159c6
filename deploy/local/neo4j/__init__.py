"""A single-node Neo4j Community from Maven Central's jars."""

from deploy.local.neo4j.server import Neo4jServer

__all__ = ["Neo4jServer"]
