"""The statements, as texts. Pure.

Labels, types and names of properties cannot be parameters; `values.check` has refused those that could end a quoted
name. Every statement takes all rows of its kind at once. The large ones are in `guarded`.

Who reads a version holds the lock of what carries it: `REMOVE n._lock` takes the lock of a node or relation and changes
nothing. The version is then read by a name in a parameter, because the planner may read a property that it knows
before the lock.
"""

from collections.abc import Iterable

from schemas.persons import USER_ID, USER_LABEL

TOMBSTONE = "TravelosTombstone"

GUARD_NAMES = {
    "version": "_version", "source_name": "_source", "lines": "_lines", "entity": "_entity", "buried": "lines"
}  # fmt: skip

# The plan made first is kept, else the server plans again and again, for some tenths of a second, while a graph grows.
# So hints name the index of all that is matched (MERGE always uses its constraint's): in an empty graph looking through
# everything is as cheap.
PLANNED_ONCE = "CYPHER replan=skip "
GRAVE_SEEK = f"USING INDEX SEEK t:{TOMBSTONE}(entity)"

# Tombstones of nodes.
GONE = f"""
UNWIND $nodes AS node MATCH (t:{TOMBSTONE} {{node: node}}) USING INDEX SEEK t:{TOMBSTONE}(node) RETURN t.node AS node
"""


def read_nodes(label: str) -> str:
    """Return the statement that locks nodes, makes those that are missing, and tells what they and tombstones carry."""
    return (
        f"UNWIND $rows AS row MERGE (x:{quoted(label)} {{id: row[1]}}) REMOVE x._lock "
        f"WITH row, x OPTIONAL MATCH (t:{TOMBSTONE} {{entity: row[2]}}) {GRAVE_SEEK} "
        f"RETURN row[0] AS position, {_carried('x')}, x[$entity] AS entity, t.lines AS buried"
    )


def read_relations(kind: str, start: str, end: str) -> str:
    """Return the like for relations; rows are position, entity, ids of start and end."""
    return (
        f"UNWIND $rows AS row MERGE (a:{quoted(start)} {{id: row[2]}}) MERGE (b:{quoted(end)} {{id: row[3]}}) "
        f"REMOVE a._lock, b._lock WITH row {_read_relation(kind)}"
    )


def read_relations_to_delete(kind: str, start: str | None) -> str:
    """Return the like for relations that are to go, of which only the start is known, or nothing; makes no node."""
    lock = (
        ""
        if start is None
        else f"OPTIONAL MATCH (a:{quoted(start)} {{id: row[2]}}) {seek(start, 'a')} REMOVE a._lock WITH row "
    )
    return f"UNWIND $rows AS row {lock}{_read_relation(kind)}"


def write_nodes(label: str) -> str:
    """Return the statement that replaces all properties of nodes, and with them their account."""
    return (
        f"UNWIND $rows AS row MATCH (x:{quoted(label)} {{id: row.id}}) {seek(label)} SET x = row.properties "
        f"WITH row OPTIONAL MATCH (g:{TOMBSTONE} {{node: row.node}}) USING INDEX SEEK g:{TOMBSTONE}(node) "
        "REMOVE g.node"
    )


def write_relations(kind: str, start: str, end: str) -> str:
    """Return the statement that makes relations."""
    return (
        f"UNWIND $rows AS row MATCH (a:{quoted(start)} {{id: row.start}}) {seek(start, 'a')} "
        f"MATCH (b:{quoted(end)} {{id: row.end}}) {seek(end, 'b')} "
        f"CREATE (a)-[x:{quoted(kind)}]->(b) SET x = row.properties"
    )


def delete_relations(kind: str) -> str:
    """Return the statement that removes relations by entity."""
    kind = quoted(kind)
    return (
        f"UNWIND $entities AS entity MATCH ()-[x:{kind} {{_entity: entity}}]->() "
        f"USING INDEX SEEK x:{kind}(_entity) DELETE x"
    )


def bury_relations_of(label: str) -> str:
    """Return the statement that makes the tombstones of all relations of nodes: every line of theirs ends as deleted.

    The texts are those of `lines.written`.
    """
    return (
        f"UNWIND $ids AS id MATCH (n:{quoted(label)} {{id: id}})-[x]-() {seek(label, 'n')} "
        "WHERE x._version IS NOT NULL "
        f"WITH DISTINCT x MERGE (t:{TOMBSTONE} {{entity: x._entity}}) SET t.lines = "
        "[right('000000000000000000' + toString(x._version), 19) + 'd' + x._source] "
        "+ [line IN coalesce(x._lines, []) | left(line, 19) + 'd' + substring(line, 20)]"
    )


def delete_nodes(label: str) -> str:
    """Return the statement that removes nodes and their relations."""
    return f"UNWIND $ids AS id MATCH (x:{quoted(label)} {{id: id}}) {seek(label)} DETACH DELETE x"


def bare_nodes(label: str) -> str:
    """Return the statement that leaves of nodes what relations alone would have made of them."""
    return f"UNWIND $ids AS id MATCH (x:{quoted(label)} {{id: id}}) {seek(label)} SET x = {{id: id}}"


def remove_bare_nodes(label: str) -> str:
    """Return the statement that removes those nodes that nobody has written and no relation joins."""
    return (
        f"UNWIND $ids AS id MATCH (x:{quoted(label)} {{id: id}}) {seek(label)} REMOVE x._lock "
        "WITH x WHERE x[$version] IS NULL AND NOT (x)--() DELETE x"
    )


READ_GRAVES = f"""
UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row[1]}}) REMOVE t._lock
RETURN row[0] AS position, t[$buried] AS buried
"""
BURY = f"""
UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row.entity}}) SET t.lines = row.lines, t.node = row.node
"""
# A node may have gone under another entity's name; under its own, whoever writes it next finds the tombstone.
NOTE_GONE = f"UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row[0]}}) SET t.node = row[1]"
DIG_UP = f"UNWIND $entities AS entity MATCH (t:{TOMBSTONE} {{entity: entity}}) {GRAVE_SEEK} DELETE t"


def find(labels: Iterable[str], relations: Iterable[str], *, whole: bool = False) -> str:
    """Return the statement that finds entities wherever they are: one row for each node, relation and tombstone.

    A node that carries no `_entity` is "<label in lower case>:<id>". With `whole`, rows have the properties, too, and
    those of relations their ends as label and id; `$labels` are those that count.
    """
    told = "x._source AS source, x._version AS version, x._lines AS lines, null AS buried"
    ends = ", ".join(f"[head([label IN labels({end}) WHERE label IN $labels]), {end}.id]" for end in _ENDS)
    node_content = ", properties(x) AS properties, null AS ends" if whole else ""
    relation_content = f", properties(x) AS properties, [{ends}] AS ends" if whole else ""
    parts = [
        f"UNWIND $entities AS entity MATCH (t:{TOMBSTONE} {{entity: entity}}) {GRAVE_SEEK} "
        "RETURN entity, null AS label, null AS relation, null AS id, null AS source, null AS version, null AS lines, "
        f"t.lines AS buried{', null AS properties, null AS ends' if whole else ''}"
    ]
    for label in labels:
        name, prefix = f"'{literal(label)}'", f"'{literal(label.lower())}:'"
        returned = f"RETURN entity, {name} AS label, null AS relation, x.id AS id, {told}{node_content}"
        parts += [
            f"UNWIND $entities AS entity MATCH (x:{quoted(label)} {{_entity: entity}}) "
            f"USING INDEX SEEK x:{quoted(label)}(_entity) {returned}",
            f"UNWIND [entity IN $entities WHERE entity STARTS WITH {prefix}] AS entity "
            f"MATCH (x:{quoted(label)} {{id: substring(entity, size({prefix}))}}) {seek(label)} "
            f"WHERE x._version IS NOT NULL AND x._entity IS NULL {returned}",
        ]
    for kind in relations:
        parts.append(
            f"UNWIND $entities AS entity MATCH ()-[x:{quoted(kind)} {{_entity: entity}}]->() "
            f"USING INDEX SEEK x:{quoted(kind)}(_entity) "
            f"RETURN entity, null AS label, '{literal(kind)}' AS relation, null AS id, {told}{relation_content}"
        )
    return " UNION ALL ".join(parts)


_ENDS = ("startNode(x)", "endNode(x)")

# Nodes and relations that somebody has written; those that relations alone have named carry no version.
WALK = """
MATCH (n) WHERE n._version IS NOT NULL RETURN n._entity AS entity, labels(n) AS labels, n.id AS id
UNION ALL
MATCH ()-[x]->() WHERE x._version IS NOT NULL RETURN x._entity AS entity, [] AS labels, null AS id
"""

# Parameter: user. Entities of relations at a person's node, and of those that name them: no index knows these.
RELATIONS_OF_USER = f"""
MATCH (:`{USER_LABEL}` {{id: $user}})-[x]-() WHERE x._entity IS NOT NULL RETURN x._entity AS entity
UNION MATCH ()-[x]->() WHERE x.`{USER_ID}` = $user AND x._entity IS NOT NULL RETURN x._entity AS entity
"""
# Parameters: user, own: labels of things that are a person's own. `version` is null of what only relations have named.
NODES_OF_USER = f"""
MATCH (n:`{USER_LABEL}` {{id: $user}})
RETURN '{USER_LABEL}' AS label, n.id AS id, n._entity AS entity, n._version AS version
UNION MATCH (:`{USER_LABEL}` {{id: $user}})--(n) WITH n, [name IN labels(n) WHERE name IN $own] AS names
WHERE size(names) > 0 RETURN names[0] AS label, n.id AS id, n._entity AS entity, n._version AS version
"""


def node_constraint(label: str) -> str:
    """Return the statement that makes a label's ids unique; the Community edition has no node keys, nor needs them."""
    return f"CREATE CONSTRAINT IF NOT EXISTS FOR (x:{quoted(label)}) REQUIRE x.id IS UNIQUE"


def entity_index(label: str) -> str:
    """Return the statement that indexes the entities of a label that are not "<label in lower case>:<id>"."""
    return index(label, "_entity")


def relation_index(kind: str) -> str:
    """Return the statement that indexes the entities of a type of relation.

    No constraint: checking it cost 43 µs a relation where the index costs 8. Its start's lock makes an entity unique.
    """
    return f"CREATE INDEX IF NOT EXISTS FOR ()-[x:{quoted(kind)}]-() ON (x._entity)"


def index(label: str, name: str) -> str:
    """Return the statement that indexes a property."""
    return f"CREATE INDEX IF NOT EXISTS FOR (x:{quoted(label)}) ON (x.{quoted(name)})"


# Removing a property whose name the database has never seen does nothing at all, and locks nothing (seen in 5.26).
LOCK_NAME = (
    "CALL db.propertyKeys() YIELD propertyKey WITH collect(propertyKey) AS known WHERE NOT '_lock' IN known "
    "CALL db.createProperty('_lock') RETURN 1"
)
TOMBSTONE_SCHEMA = (
    f"CREATE CONSTRAINT IF NOT EXISTS FOR (t:{TOMBSTONE}) REQUIRE t.entity IS UNIQUE",
    f"CREATE INDEX IF NOT EXISTS FOR (t:{TOMBSTONE}) ON (t.node)",
)


def _read_relation(kind: str) -> str:
    kind = quoted(kind)
    return (
        f"OPTIONAL MATCH ()-[x:{kind} {{_entity: row[1]}}]->() USING INDEX SEEK x:{kind}(_entity) REMOVE x._lock "
        f"WITH row, x OPTIONAL MATCH (t:{TOMBSTONE} {{entity: row[1]}}) {GRAVE_SEEK} "
        f"RETURN row[0] AS position, {_carried('x')}, t.lines AS buried"
    )


def seek(label: str, name: str = "x") -> str:
    """Return the hint that a node is found by its id."""
    return f"USING INDEX SEEK {name}:{quoted(label)}(id)"


def _carried(name: str) -> str:
    return f"{name}[$source_name] AS source, {name}[$version] AS version, {name}[$lines] AS lines"


def quoted(name: str) -> str:
    """Return a checked name as it stands in a statement."""
    return f"`{name}`"


def literal(text: str) -> str:
    """Return a checked name as it stands between single quotes."""
    return text.replace("'", "\\'")
