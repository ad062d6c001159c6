# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A graph in Neo4j as its own driver sees it, and writes of it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import neo4j

from connectors.sinks.neo4j import Neo4jOptions
from deploy.local.neo4j import Neo4jServer
from schemas.writes import GraphWrite, NodeRef

SOURCE = "user-events"
ANNA, BEN, CLEO = (NodeRef("User", name) for name in ("anna", "ben", "cleo"))
PIZZA, SUSHI = (NodeRef("Place", name) for name in ("pizza", "sushi"))


class Graph:
    """The server seen by its own driver."""

    def __init__(self, server: Neo4jServer) -> None:
        self.server = server
        self.driver = self._connected()

    def restart(self) -> None:
        """Kill the server and start it again. Connections from before fail once each: there are new ones."""
        self.driver.close()
        self.server.kill()
        self.server.start()
        self.driver = self._connected()

    def _connected(self) -> neo4j.Driver:
        return neo4j.GraphDatabase.driver(self.server.address, auth=("neo4j", self.server.password))

    def query(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.driver.session(database="neo4j") as session:
            return session.run(statement, parameters).data()  # pyright: ignore[reportArgumentType] - no literal

    def plan(self, statement: str, parameters: dict[str, Any]) -> Any:
        with self.driver.session(database="neo4j") as session:
            return session.run(f"EXPLAIN {statement}", parameters).consume().plan  # pyright: ignore[reportArgumentType] - no literal

    def options(self, **others: Any) -> Neo4jOptions:
        return Neo4jOptions(url=self.server.address, password=self.server.password, **others)

    def properties(self, node: NodeRef) -> dict[str, Any] | None:
        rows = self.query(f"MATCH (n:`{node.label}` {{id: $id}}) RETURN properties(n) AS p", id=node.id)
        return {k: v for k, v in rows[0]["p"].items() if not k.startswith("_") and k != "id"} if rows else None

    def relations(self, node: NodeRef) -> set[tuple[str, str]]:
        rows = self.query(f"MATCH (:`{node.label}` {{id: $id}})-[r]-(m) RETURN type(r) AS t, m.id AS id", id=node.id)
        return {(row["t"], row["id"]) for row in rows}


def common(entity: str, version: int) -> dict[str, Any]:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return {"entity": entity, "version": version, "source": SOURCE, "event_id": f"e{version}", "occurred_at": at}


def node(ref: NodeRef, version: int, **properties: Any) -> GraphWrite:
    return GraphWrite(**common(f"{ref.label.lower()}:{ref.id}", version), node=ref, properties=properties)


def no_node(ref: NodeRef, version: int, *, named: bool = True) -> GraphWrite:
    write = node(ref, version)
    return msgspec.structs.replace(write, op="delete", node=ref if named else None)


def relation(kind: str, start: NodeRef, end: NodeRef, version: int, entity: str = "", **properties: Any) -> GraphWrite:
    named = common(entity or f"{kind}:{start.id}:{end.id}", version)
    return GraphWrite(**named, relation=kind, start=start, end=end, properties=properties)
