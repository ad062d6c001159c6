"""The statements, as texts. Pure.

Labels, types and names of properties cannot be parameters; `values.check` has refused those that could end a quoted
name. Every statement takes all rows of its kind at once. Rows of the two large statements are lists, not maps: the
driver spends half as long on them, and most of that time goes into the names of maps.

Who reads a version holds the lock of what carries it: `REMOVE n._lock` takes the lock of a node or relation and changes
nothing. The version is then read by a name in a parameter, because the planner may read a property that it knows
before the lock (seen in 5.26: CacheProperties inside of LockingMerge). A unique index locks what MERGE looks for, also
when it is not there yet, until the transaction ends.
"""

from collections.abc import Iterable, Sequence

from schemas.persons import USER_ID, USER_LABEL

TOMBSTONE = "TravelosTombstone"

# What both large statements have in row[0..4]: position, version, oldest version the row stands for, entity, id.
_GUARD = """
WITH row, x, x[$version] AS before
WITH row, x, before, before IS NULL OR (x[$source_name] = $source AND x[$lines] IS NULL{same}) AS alone
WITH row, x, before, alone, alone
  AND (before IS NULL OR (before < row[1] AND all(name IN keys(x) WHERE name IN $names))) AS fresh
FOREACH (_ IN CASE WHEN fresh THEN [1] ELSE [] END | SET {settings})
RETURN sum(CASE WHEN before IS NULL THEN 1 ELSE 0 END) AS made,
  collect(CASE WHEN NOT fresh OR before >= row[2] THEN [row[0], fresh, alone, before] END) AS noted{twice}
"""
_SAME_ENTITY = " AND coalesce(x[$entity], '') = coalesce(row[3], '')"
# A relation that is new here, and is there already with another end.
_TWICE = """,
  collect(CASE WHEN before IS NULL AND COUNT {{ ()-[:{kind} {{_entity: row[3]}}]->() }} > 1 THEN row[3] END) AS twice
"""
GUARD_NAMES = {"version": "_version", "source_name": "_source", "lines": "_lines", "entity": "_entity"}


def upsert_nodes(label: str, names: Sequence[str]) -> str:
    """Return the statement that upserts nodes whose account is one line of one source; others it notes and leaves.

    Args:
        label: of all of them.
        names: of the properties in row[5...].
    """
    return f"UNWIND $rows AS row MERGE (x:{_quoted(label)} {{id: row[4]}}) REMOVE x._lock" + _GUARD.format(
        same=_SAME_ENTITY, twice="", settings=_settings(("_version", 1), ("_entity", 3), named=names, first=5)
    )


def upsert_relations(kind: str, start: str, end: str, names: Sequence[str]) -> str:
    """Return the like for relations; row[4] and row[5] are the ids of their ends, row[6...] the properties."""
    return (
        f"UNWIND $rows AS row MERGE (a:{_quoted(start)} {{id: row[4]}}) MERGE (b:{_quoted(end)} {{id: row[5]}}) "
        f"MERGE (a)-[x:{_quoted(kind)} {{_entity: row[3]}}]->(b) REMOVE x._lock"
        + _GUARD.format(
            same="", twice=_TWICE.format(kind=_quoted(kind)), settings=_settings(("_version", 1), named=names, first=6)
        )
    )


# Answered from the count store, whatever their number: as long as nothing was ever deleted no tombstone is looked for.
ANY_GRAVE = f"MATCH (t:{TOMBSTONE}) RETURN count(t) > 0 AS any"

# Tombstones that speak against what was just made: of the entity, or of a node that a relation joins.
GRAVES = f"""
CALL () {{
  MATCH (t:{TOMBSTONE}) WHERE t.entity IN $entities RETURN t
  UNION MATCH (t:{TOMBSTONE}) WHERE t.node IN $nodes RETURN t
}}
RETURN t.entity AS entity, t.node AS node
"""


def take_back_nodes(label: str) -> str:
    """Return the statement that makes nodes again what they are when only relations have named them."""
    return f"UNWIND $ids AS id MATCH (x:{_quoted(label)} {{id: id}}) SET x = {{id: id}}"


def take_back_relations(kind: str, end: str) -> str:
    """Return the statement that removes relations that this transaction has made: entity, and id of the end."""
    kind, end = _quoted(kind), _quoted(end)
    return (
        f"UNWIND $rows AS row MATCH ()-[x:{kind} {{_entity: row[0]}}]->(b:{end} {{id: row[1]}}) "
        f"USING INDEX x:{kind}(_entity) DELETE x"  # else it looks through all relations of the end
    )


def read_nodes(label: str) -> str:
    """Return the statement that locks nodes, makes those that are missing, and tells what they and tombstones carry."""
    return (
        f"UNWIND $rows AS row MERGE (x:{_quoted(label)} {{id: row[1]}}) REMOVE x._lock "
        f"WITH row, x OPTIONAL MATCH (t:{TOMBSTONE} {{entity: row[2]}}) "
        f"RETURN row[0] AS position, {_carried('x')}, x[$entity] AS entity, t.lines AS buried"
    )


def read_relations(kind: str, start: str, end: str) -> str:
    """Return the like for relations; rows are position, entity, ids of start and end."""
    return (
        f"UNWIND $rows AS row MERGE (a:{_quoted(start)} {{id: row[2]}}) MERGE (b:{_quoted(end)} {{id: row[3]}}) "
        f"REMOVE a._lock, b._lock WITH row {_read_relation(kind)}"
    )


def read_relations_to_delete(kind: str, start: str | None) -> str:
    """Return the like for relations that are to go, of which only the start is known, or nothing; makes no node."""
    lock = "" if start is None else f"OPTIONAL MATCH (a:{_quoted(start)} {{id: row[2]}}) REMOVE a._lock WITH row "
    return f"UNWIND $rows AS row {lock}{_read_relation(kind)}"


def write_nodes(label: str) -> str:
    """Return the statement that replaces all properties of nodes, and with them their account."""
    return (
        f"UNWIND $rows AS row MATCH (x:{_quoted(label)} {{id: row.id}}) SET x = row.properties "
        f"WITH row OPTIONAL MATCH (g:{TOMBSTONE} {{node: row.node}}) REMOVE g.node "
    )


def write_relations(kind: str, start: str, end: str) -> str:
    """Return the statement that makes relations."""
    return (
        f"UNWIND $rows AS row MATCH (a:{_quoted(start)} {{id: row.start}}) MATCH (b:{_quoted(end)} {{id: row.end}}) "
        f"CREATE (a)-[x:{_quoted(kind)}]->(b) SET x = row.properties"
    )


def delete_relations(kind: str) -> str:
    """Return the statement that removes relations by entity."""
    return f"UNWIND $entities AS entity MATCH ()-[x:{_quoted(kind)} {{_entity: entity}}]->() DELETE x"


def bury_relations_of(label: str) -> str:
    """Return the statement that makes the tombstones of all relations of nodes: every line of theirs ends as deleted.

    The texts are those of `lines.written`.
    """
    return (
        f"UNWIND $ids AS id MATCH (:{_quoted(label)} {{id: id}})-[x]-() WHERE x._version IS NOT NULL "
        f"WITH DISTINCT x MERGE (t:{TOMBSTONE} {{entity: x._entity}}) SET t.lines = "
        "[right('000000000000000000' + toString(x._version), 19) + 'd' + x._source] "
        "+ [line IN coalesce(x._lines, []) | left(line, 19) + 'd' + substring(line, 20)]"
    )


def delete_nodes(label: str) -> str:
    """Return the statement that removes nodes and their relations."""
    return f"UNWIND $ids AS id MATCH (x:{_quoted(label)} {{id: id}}) DETACH DELETE x"


def remove_bare_nodes(label: str) -> str:
    """Return the statement that removes those nodes that nobody has written and no relation joins."""
    return f"UNWIND $ids AS id MATCH (x:{_quoted(label)} {{id: id}}) WHERE x._version IS NULL AND NOT (x)--() DELETE x"


READ_GRAVES = f"""
UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row[1]}}) REMOVE t._lock
RETURN row[0] AS position, t[$lines] AS buried
"""
BURY = f"""
UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row.entity}}) SET t.lines = row.lines, t.node = row.node
"""
# A node may have gone under another entity's name; under its own, whoever writes it next finds the tombstone.
NOTE_GONE = f"UNWIND $rows AS row MERGE (t:{TOMBSTONE} {{entity: row[0]}}) SET t.node = row[1]"
DIG_UP = f"UNWIND $entities AS entity MATCH (t:{TOMBSTONE} {{entity: entity}}) DELETE t"


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
        f"UNWIND $entities AS entity MATCH (t:{TOMBSTONE} {{entity: entity}}) "
        "RETURN entity, null AS label, null AS relation, null AS id, null AS source, null AS version, null AS lines, "
        f"t.lines AS buried{', null AS properties, null AS ends' if whole else ''}"
    ]
    for label in labels:
        literal, prefix = f"'{_literal(label)}'", f"'{_literal(label.lower())}:'"
        returned = f"RETURN entity, {literal} AS label, null AS relation, x.id AS id, {told}{node_content}"
        parts += [
            f"UNWIND $entities AS entity MATCH (x:{_quoted(label)} {{_entity: entity}}) {returned}",
            f"UNWIND [entity IN $entities WHERE entity STARTS WITH {prefix}] AS entity "
            f"MATCH (x:{_quoted(label)} {{id: substring(entity, size({prefix}))}}) "
            f"WHERE x._version IS NOT NULL AND x._entity IS NULL {returned}",
        ]
    for kind in relations:
        parts.append(
            f"UNWIND $entities AS entity MATCH ()-[x:{_quoted(kind)} {{_entity: entity}}]->() "
            f"RETURN entity, null AS label, '{_literal(kind)}' AS relation, null AS id, {told}{relation_content}"
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
    return f"CREATE CONSTRAINT IF NOT EXISTS FOR (x:{_quoted(label)}) REQUIRE x.id IS UNIQUE"


def entity_index(label: str) -> str:
    """Return the statement that indexes the entities of a label that are not "<label in lower case>:<id>"."""
    return index(label, "_entity")


def relation_index(kind: str) -> str:
    """Return the statement that indexes the entities of a type of relation.

    No constraint: checking it cost 43 µs a relation where the index costs 8. Its start's lock makes an entity unique.
    """
    return f"CREATE INDEX IF NOT EXISTS FOR ()-[x:{_quoted(kind)}]-() ON (x._entity)"


def index(label: str, name: str) -> str:
    """Return the statement that indexes a property."""
    return f"CREATE INDEX IF NOT EXISTS FOR (x:{_quoted(label)}) ON (x.{_quoted(name)})"


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
    return (
        f"OPTIONAL MATCH ()-[x:{_quoted(kind)} {{_entity: row[1]}}]->() REMOVE x._lock "
        f"WITH row, x OPTIONAL MATCH (t:{TOMBSTONE} {{entity: row[1]}}) "
        f"RETURN row[0] AS position, {_carried('x')}, t.lines AS buried"
    )


def _carried(name: str) -> str:
    return f"{name}[$source_name] AS source, {name}[$version] AS version, {name}[$lines] AS lines"


def _settings(*own: tuple[str, int], named: Sequence[str], first: int) -> str:
    columns = [*own, *((name, first + place) for place, name in enumerate(named))]
    return ", ".join(["x._source = $source", *(f"x.{_quoted(name)} = row[{place}]" for name, place in columns)])


def _quoted(name: str) -> str:
    return f"`{name}`"


def _literal(text: str) -> str:
    return text.replace("'", "\\'")
