# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The graph in SQLite: nodes, relations between them, and which nodes were deleted."""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from connectors.sinks.persons import NO_LINE, delete_of
from connectors.sinks.reader import Row
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.sqlite.recognising import RecognisingSink
from connectors.sinks.sqlite.values import json_object
from schemas.persons import USER_ID, USER_LABEL, own_node
from schemas.writes import GraphWrite, NodeRef

SCHEMA = Schema(
    tag="TOgr",
    migrations=(
        """
        -- `entity` is null while only relations have named the node.
        CREATE TABLE nodes (
            label TEXT NOT NULL,
            id TEXT NOT NULL,
            entity TEXT UNIQUE,
            properties TEXT NOT NULL DEFAULT '{}',
            PRIMARY KEY (label, id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE relations (
            entity TEXT NOT NULL UNIQUE,
            type TEXT NOT NULL,
            start_label TEXT NOT NULL,
            start_id TEXT NOT NULL,
            end_label TEXT NOT NULL,
            end_id TEXT NOT NULL,
            properties TEXT NOT NULL
        ) STRICT;
        CREATE INDEX relations_from ON relations (start_id, start_label, type);
        CREATE INDEX relations_to ON relations (end_id, end_label, type);
        CREATE TABLE deleted_nodes (
            label TEXT NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (label, id)
        ) STRICT, WITHOUT ROWID;
        """,
    ),
)

_SAME_RELATION = """
SELECT 1 FROM relations WHERE entity = ? AND (type, start_label, start_id, end_label, end_id, properties)
= (?, ?, ?, ?, ?, ?)
"""
_ENDS = "(start_label = ?1 AND start_id = ?2) OR (end_label = ?1 AND end_id = ?2)"
_REMOVE_BARE = f"""
DELETE FROM nodes WHERE label = ?1 AND id = ?2 AND NOT EXISTS (SELECT 1 FROM relations WHERE {_ENDS})
"""  # noqa: S608 - names of our own


class GraphSink(RecognisingSink[GraphWrite]):
    """Nodes and relations; what they mean is said at `GraphWrite`.

    A relation to a deleted node is superseded, and its version is remembered as that of a deleted entity, exactly as
    if it had come before the node went. A delete of a node should name `node`: of a node that only relations have
    named, the entity alone does not tell which one it is.
    """

    schema = SCHEMA
    kind = GraphWrite
    entities = "SELECT entity FROM nodes WHERE entity IS NOT NULL UNION SELECT entity FROM relations"
    names = ("node", "relation", "start", "end")

    def copies(self) -> str:
        """An entity is a node or a relation."""
        return """(SELECT count(*) FROM nodes AS n WHERE n.entity = v.entity)
            + (SELECT count(*) FROM relations AS r WHERE r.entity = v.entity)"""

    def upsert(self, connection: apsw.Connection, write: GraphWrite) -> Outcome:
        """Store a node or a relation."""
        if write.node is not None and write.relation is None:
            return self._node(connection, write, write.node)
        if write.node is None and write.relation and write.start is not None and write.end is not None:
            return self._relation(connection, write, write.relation, (write.start, write.end))
        raise Refused("needs either `node`, or `relation` with `start` and `end`")

    def delete(self, connection: apsw.Connection, write: GraphWrite) -> None:
        """Remove a relation, or a node with its relations."""
        connection.execute("DELETE FROM relations WHERE entity = ?", (write.entity,))
        if connection.changes() or write.relation is not None:
            return
        node = write.node or self._node_of(connection, write.entity)
        if node is None:
            return
        place = (node.label, node.id)
        if write.keep_relations:
            connection.execute("UPDATE nodes SET entity = NULL, properties = '{}' WHERE label = ? AND id = ?", place)
            connection.execute(_REMOVE_BARE, place)
            return
        connection.execute(
            f"UPDATE versions SET deleted = 1 WHERE entity IN (SELECT entity FROM relations WHERE {_ENDS})",  # noqa: S608
            place,
        )
        connection.execute(f"DELETE FROM relations WHERE {_ENDS}", place)  # noqa: S608
        connection.execute("DELETE FROM nodes WHERE label = ? AND id = ?", place)
        connection.execute("INSERT OR IGNORE INTO deleted_nodes (label, id) VALUES (?, ?)", place)

    def content(self, connection: apsw.Connection, write: GraphWrite) -> dict[str, Any] | None:
        """Return the node or the relation; relations that go with a node are writes of their own."""
        node = connection.execute(
            "SELECT label, id, properties FROM nodes WHERE entity = ?", (write.entity,)
        ).fetchone()
        if node is not None:
            return {"node": NodeRef(node[0], node[1]), "properties": msgspec.json.decode(node[2])}
        found = connection.execute(
            """
            SELECT type, start_label, start_id, end_label, end_id, properties FROM relations WHERE entity = ?
            """,
            (write.entity,),
        ).fetchone()
        if found is None:
            return None
        relation, start_label, start_id, end_label, end_id, properties = found
        return {
            "relation": relation,
            "start": NodeRef(start_label, start_id),
            "end": NodeRef(end_label, end_id),
            "properties": msgspec.json.decode(properties),
        }

    def belonging(self, connection: apsw.Connection, user: str) -> Iterator[GraphWrite]:
        """Yield relations at a person's node, those that name them, that node, and the nodes of their own things."""
        at_them: list[Any] = connection.execute(
            f"""
            SELECT r.entity, v.source, v.version, r.type, r.start_label, r.start_id, r.end_label, r.end_id
            FROM relations AS r JOIN versions AS v USING (entity)
            WHERE {_ENDS} OR r.properties ->> ?3 = ?2
            """,  # noqa: S608
            (USER_LABEL, user, USER_ID),
        ).fetchall()
        nodes = [NodeRef(USER_LABEL, user)]
        for entity, source, version, relation, start_label, start_id, end_label, end_id in at_them:
            start, end = NodeRef(start_label, start_id), NodeRef(end_label, end_id)
            yield delete_of(GraphWrite, entity, source, version, relation=relation, start=start, end=end)
            nodes += [node for node in (start, end) if own_node(node, user) and node not in nodes]
        for node in nodes:
            yield from self._lines_of(connection, node)

    @staticmethod
    def _lines_of(connection: apsw.Connection, node: NodeRef) -> Iterator[GraphWrite]:
        rows: list[Any] = connection.execute(
            """
            SELECT n.entity, v.source, v.version FROM nodes AS n LEFT JOIN versions AS v ON v.entity = n.entity
            WHERE n.label = ? AND n.id = ?
            """,
            (node.label, node.id),
        ).fetchall()
        for entity, source, version in rows:
            name = f"{node.label.lower()}:{node.id}" if entity is None else entity
            yield delete_of(GraphWrite, name, source or NO_LINE, version or 0, node=node)

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> GraphWrite:
        """Return the delete of a node or a relation."""
        node = connection.execute("SELECT label, id FROM nodes WHERE entity = ?", (entity,)).fetchone()
        if node is not None:
            return delete_of(GraphWrite, entity, source, version, node=NodeRef(*node))
        found: Any = connection.execute(
            "SELECT type, start_label, start_id, end_label, end_id FROM relations WHERE entity = ?", (entity,)
        ).fetchone()
        relation, *ends = found
        start, end = NodeRef(*ends[:2]), NodeRef(*ends[2:])
        return delete_of(GraphWrite, entity, source, version, relation=relation, start=start, end=end)

    @staticmethod
    def _node(connection: apsw.Connection, write: GraphWrite, node: NodeRef) -> Outcome:
        properties = json_object("properties", write.properties)
        held = connection.execute(
            "SELECT properties FROM nodes WHERE label = ? AND id = ? AND entity = ?",
            (node.label, node.id, write.entity),
        ).fetchone()
        if held is not None and not write.repair:  # then it is not deleted either
            if held[0] != properties:
                connection.execute(
                    "UPDATE nodes SET properties = ? WHERE label = ? AND id = ?", (properties, node.label, node.id)
                )
            return APPLIED
        connection.execute(
            """
            INSERT INTO nodes (label, id, entity, properties) VALUES (?, ?, ?, ?)
            ON CONFLICT (label, id) DO UPDATE SET entity = excluded.entity, properties = excluded.properties
            WHERE nodes.entity IS NULL OR nodes.entity = excluded.entity
            """,
            (node.label, node.id, write.entity, properties),
        )
        if connection.changes() == 0:
            raise Refused(f"`node` ({node.label} {node.id}) belongs to another entity already")
        connection.execute("DELETE FROM deleted_nodes WHERE label = ? AND id = ?", (node.label, node.id))
        return APPLIED

    @staticmethod
    def _relation(
        connection: apsw.Connection, write: GraphWrite, relation: str, nodes: tuple[NodeRef, NodeRef]
    ) -> Outcome:
        start, end = nodes
        ends = (start.label, start.id, end.label, end.id)
        content = (write.entity, relation, *ends, json_object("properties", write.properties))
        # Most changes of a row leave its relations as they are. What is held has its nodes, unless somebody removed
        # them by hand; then it comes as a repair.
        if not write.repair and connection.execute(_SAME_RELATION, content).fetchone() is not None:
            return APPLIED
        gone = connection.execute(
            "SELECT 1 FROM deleted_nodes WHERE (label, id) IN (VALUES (?, ?), (?, ?)) LIMIT 1", ends
        ).fetchone()
        if gone is not None:
            connection.execute("DELETE FROM relations WHERE entity = ?", (write.entity,))
            connection.execute(
                "UPDATE versions SET deleted = 1 WHERE entity = ? AND source = ?", (write.entity, write.source)
            )
            return SUPERSEDED
        connection.execute("INSERT OR IGNORE INTO nodes (label, id) VALUES (?, ?), (?, ?)", ends)
        connection.execute(
            """
            INSERT INTO relations (entity, type, start_label, start_id, end_label, end_id, properties)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (entity) DO UPDATE SET
                type = excluded.type, start_label = excluded.start_label, start_id = excluded.start_id,
                end_label = excluded.end_label, end_id = excluded.end_id, properties = excluded.properties
            """,
            content,
        )
        return APPLIED

    @staticmethod
    def _node_of(connection: apsw.Connection, entity: str) -> NodeRef | None:
        found = connection.execute("SELECT label, id FROM nodes WHERE entity = ?", (entity,)).fetchone()
        return None if found is None else NodeRef(*found)


class Neighbour(Struct, frozen=True):
    """A node at the other end of a relation, and the relation. `outgoing` says which way it points."""

    node: NodeRef
    relation: str
    outgoing: bool
    properties: dict[str, Any]
    node_properties: dict[str, Any]


class Suggestion(Struct, frozen=True):
    """A node two steps away: by how many nodes it is reached, and the mean of the weight they give it."""

    node: NodeRef
    through: int
    weight: float | None
    node_properties: dict[str, Any]


class GraphReader(SQLiteReader):
    """Questions to the graph."""

    schema = SCHEMA
    tables = ("nodes", "relations")

    def node(self, node: NodeRef) -> dict[str, Any] | None:
        """Return the properties of a node, or None when there is no such node."""
        rows = self.query("SELECT properties FROM nodes WHERE label = ? AND id = ?", (node.label, node.id))
        return msgspec.json.decode(rows[0]["properties"]) if rows else None

    def neighbours(self, node: NodeRef, relation: str | None = None, limit: int = 1_000) -> list[Neighbour]:
        """Return the nodes that a relation (any, by default) joins to a node, whichever way it points."""
        rows = self.query(
            """
            SELECT n.label, n.id, n.properties AS node_properties, r.type, r.outgoing, r.properties FROM (
                SELECT end_label AS label, end_id AS id, type, properties, 1 AS outgoing FROM relations
                WHERE start_id = ?2 AND start_label = ?1 AND (?3 IS NULL OR type = ?3)
                UNION ALL
                SELECT start_label, start_id, type, properties, 0 FROM relations
                WHERE end_id = ?2 AND end_label = ?1 AND (?3 IS NULL OR type = ?3)
            ) AS r JOIN nodes AS n ON n.label = r.label AND n.id = r.id LIMIT ?4
            """,
            (node.label, node.id, relation, limit),
        )
        return [
            Neighbour(
                node=NodeRef(row["label"], row["id"]),
                relation=row["type"],
                outgoing=bool(row["outgoing"]),
                properties=msgspec.json.decode(row["properties"]),
                node_properties=msgspec.json.decode(row["node_properties"]),
            )
            for row in rows
        ]

    def suggestions(
        self, node: NodeRef, via: str, then: str, *, weight: str, label: str | None = None, limit: int = 10
    ) -> list[Suggestion]:
        """Return what the neighbours of a node point at, best first: friends' favourites, for one.

        Args:
            node: where to start.
            via: relation to the neighbours, whichever way it points.
            then: relation from each neighbour to what is returned.
            weight: property of the second relation; its sum ranks.
            label: return only nodes with this label.
            limit: number of nodes.
        """
        rows = self.query(
            """
            WITH friends AS (
                SELECT end_label AS label, end_id AS id FROM relations
                WHERE start_id = ?2 AND start_label = ?1 AND type = ?3
                UNION
                SELECT start_label, start_id FROM relations WHERE end_id = ?2 AND end_label = ?1 AND type = ?3
            )
            SELECT n.label, n.id, n.properties, count(*) AS through, avg(r.properties ->> ?5) AS weight
            FROM friends AS f
            JOIN relations AS r ON r.start_id = f.id AND r.start_label = f.label AND r.type = ?4
            JOIN nodes AS n ON n.label = r.end_label AND n.id = r.end_id
            WHERE ?6 IS NULL OR n.label = ?6
            GROUP BY n.label, n.id
            ORDER BY total(r.properties ->> ?5) DESC, through DESC, n.id
            LIMIT ?7
            """,
            (node.label, node.id, via, then, weight, label, limit),
        )
        return [_suggestion(row) for row in rows]


def _suggestion(row: Row) -> Suggestion:
    return Suggestion(
        node=NodeRef(row["label"], row["id"]),
        through=row["through"],
        weight=row["weight"],
        node_properties=msgspec.json.decode(row["properties"]),
    )
