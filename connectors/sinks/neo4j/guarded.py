"""The statement of a stage, as a text: blocks that compare versions and write, each for all rows of its kind. Pure.

A block does what nearly all writes need: those of entities that are new, or have one version line of one source, in
themselves or, where that is older, in a tombstone. Others it leaves alone and tells their positions; they are taken
with care afterwards. (So are new nodes of another name than their own, once there are tombstones.) Nothing that a block
has written is ever taken back, so all blocks go in one round trip: of a few writes most of the time goes into
statements, not into rows.

Rows are lists, not maps: the driver spends half as long on them, and most of that time goes into the names of maps.
All of them are in one parameter, `$blocks`, behind the source of each block: the server compiles a text once more for
parameters that are lists of another order of size.

Who reads a version holds the lock of what carries it: `REMOVE x._lock` takes the lock of a node or relation and changes
nothing. The version is then read by a name in a parameter, because the planner may read a property that it knows
before the lock (seen in 5.26: CacheProperties inside of LockingMerge). A unique index locks what MERGE looks for, also
when it is not there yet, until the transaction ends. Who makes a tombstone or removes it has the lock of its entity's
node, or of its relation's start. Whether there is any at all is read from the count store, so that none is looked for
as long as nothing was ever deleted.
"""

from collections.abc import Sequence

from connectors.sinks.neo4j.lines import DIGITS
from connectors.sinks.neo4j.statements import GRAVE_SEEK, TOMBSTONE, literal, quoted, seek

OWN = ("_version", "_source", "_entity")


def combined(blocks: Sequence[str]) -> str:
    """Return the statement of blocks, of which each was made for its place; it tells `told0`, `told1`, ..."""
    calls = "\n".join(f"CALL () {{ {block} }}" for block in blocks)
    return f"{calls}\nRETURN {', '.join(f'told{place}' for place in range(len(blocks)))}"


def upsert_nodes(place: int, label: str, names: Sequence[str]) -> str:
    """Return the block that upserts nodes.

    It tells of those it did not apply as a whole: position, whether it wrote them, whether their account is one line of
    the source, and the version they had. A row is position, version, oldest version the row stands for, entity where
    that does not follow from label and id, id, properties.

    Args:
        place: of the block among others.
        label: of all of them.
        names: of the properties.
    """
    entity = f"'{literal(label.lower())}:' + row[4]"
    key = f"'{literal(label)}:' + row[4]"
    return (
        f"{_rows(place)} MERGE (x:{quoted(label)} {{id: row[4]}}) REMOVE x._lock "
        f"WITH graves, row, x, properties(x) AS had {_BEFORE.format(things='graves, row, x')} "
        f"{_buried(place, 'graves, row, x', 'before IS NULL AND row[3] IS NULL', entity)} "
        f"CASE WHEN before IS NULL THEN graves = 0 OR (row[3] IS NULL AND {_OLDER}) "
        f"ELSE coalesce({_one_line(place)} AND coalesce(had[$entity], '') = coalesce(row[3], ''), false) END AS alone "
        f"{_FRESH.format(things='row, x', names=_listed(['id', *OWN, *names]))} "
        f"{_NO_TRACE.format(key=key)} "
        f"FOREACH (_ IN CASE WHEN fresh THEN [1] ELSE [] END | SET {_set(_account(place, names, first=5))}) "
        f"{_DUG_UP} {_NOTED} AS told{place}"
    )


def upsert_relations(place: int, kind: str, ends: tuple[str, str], names: Sequence[str]) -> str:
    """Return the like for relations between two labels; a row has the entity, and both ids before the properties.

    An entity is there once because its start is locked: it contains the start, and that never changes.
    """
    # A node with a tombstone is not there: what joins it has made it, and nobody has written it.
    bare = ", ".join(
        f"CASE WHEN {node}._version IS NULL THEN '{literal(label)}:' + row[{column}] ELSE '' END"
        for node, label, column in zip("ab", ends, (4, 5), strict=True)
    )
    kind, start, end = quoted(kind), *map(quoted, ends)
    account = _account(place, names, first=6)
    content = ", ".join(f"{name}: {value}" for name, value in account)
    return (
        f"{_rows(place)} MERGE (a:{start} {{id: row[4]}}) MERGE (b:{end} {{id: row[5]}}) REMOVE a._lock "
        "WITH graves, row, a, b "
        f"OPTIONAL MATCH ()-[x:{kind} {{_entity: row[3]}}]->() USING INDEX SEEK x:{kind}(_entity) REMOVE x._lock "
        f"WITH graves, row, a, b, x, properties(x) AS had {_BEFORE.format(things='graves, row, a, b, x')} "
        f"{_buried(place, 'graves, row, a, b, x', 'x IS NULL', 'row[3]')} "
        f"CASE WHEN x IS NULL THEN graves = 0 OR ({_OLDER} AND {_graves(f'IN [{bare}]')} = 0) "
        f"ELSE coalesce({_one_line(place)} AND startNode(x) = a AND endNode(x) = b, false) END AS alone "
        f"{_FRESH.format(things='row, a, b, x', names=_listed([*OWN, *names]))} "
        f"FOREACH (_ IN CASE WHEN fresh AND x IS NULL THEN [1] ELSE [] END | CREATE (a)-[:{kind} {{{content}}}]->(b)) "
        f"FOREACH (_ IN CASE WHEN fresh AND x IS NOT NULL THEN [1] ELSE [] END | SET {_set(account)}) "
        f"{_DUG_UP} {_NOTED} AS told{place}"
    )


def delete_relations(place: int, kind: str, start: str | None) -> str:
    """Return the block that deletes relations, whose start may not be known; it tells the positions of those it leaves.

    A row is position, entity, id of the start, newest version that is replaced, source, line of the tombstone. What has
    a tombstone already is left, too.
    """
    lock = (
        ""
        if start is None
        else f"OPTIONAL MATCH (a:{quoted(start)} {{id: row[2]}}) {seek(start, 'a')} REMOVE a._lock WITH row "
    )
    kind = quoted(kind)
    return (
        f"UNWIND $blocks[{place}][1] AS row {lock}"
        f"OPTIONAL MATCH ()-[x:{kind} {{_entity: row[1]}}]->() USING INDEX SEEK x:{kind}(_entity) REMOVE x._lock "
        f"{_DELETED.format(same='')} REMOVE g.node DELETE x) "
        f"{_LEFT} AS told{place}"
    )


def delete_nodes(place: int, label: str) -> str:
    """Return the like for nodes of their own name, whose id is in a row in place of the start's."""
    # The texts are those of `lines.written`.
    relations = (
        "CALL (x, fresh) { WITH x, fresh WHERE fresh MATCH (x)-[r]-() WHERE r._version IS NOT NULL WITH DISTINCT r "
        f"MERGE (g:{TOMBSTONE} {{entity: r._entity}}) SET g.lines = "
        "[right('000000000000000000' + toString(r._version), 19) + 'd' + r._source] "
        "+ [line IN coalesce(r._lines, []) | left(line, 19) + 'd' + substring(line, 20)] } "
    )
    deleted = _DELETED.format(same=" AND x[$entity] IS NULL").replace("FOREACH", f"{relations}FOREACH")
    return (
        f"UNWIND $blocks[{place}][1] AS row MERGE (x:{quoted(label)} {{id: row[2]}}) REMOVE x._lock "
        f"{deleted}, g.node = '{literal(label)}:' + row[2] DETACH DELETE x) "
        f"{_LEFT} AS told{place}"
    )


# Properties are read once, as a map: reading one of a node takes nearly as long as reading all.
_BEFORE = "WITH {things}, had, had[$version] AS before"
# What comes back from a tombstone of an older line of its own leaves no trace of it; of any other, it waits.
_OLDER = "(t IS NULL OR coalesce(buried < row[1], false))"
# An upsert replaces all properties; where there are others than it sets, that is for others to do.
_FRESH = (
    "WITH {things}, before, t, buried, alone, "
    "alone AND (before IS NULL OR (before < row[1] AND all(name IN keys(had) WHERE name IN {names}))) AS fresh"
)
_DUG_UP = "FOREACH (_ IN CASE WHEN fresh AND t IS NOT NULL THEN [1] ELSE [] END | DELETE t)"
# A node may have gone under another entity's name as well.
_NO_TRACE = (
    "CALL (row, t, fresh) {{ WITH row, t, fresh WHERE fresh AND t IS NOT NULL "
    f"MATCH (g:{TOMBSTONE} {{{{node: {{key}}}}}}) USING INDEX SEEK g:{TOMBSTONE}(node) REMOVE g.node }}}}"
)
_NOTED = (
    "WITH row, fresh, alone, coalesce(before, buried) AS before "
    "RETURN collect(CASE WHEN NOT fresh OR before >= row[2] THEN [row[0], fresh, alone, before] END)"
)
_DELETED = (
    f"WITH row, x OPTIONAL MATCH (t:{TOMBSTONE} {{{{entity: row[1]}}}}) {GRAVE_SEEK} "
    "WITH row, x, coalesce(t IS NULL AND (x[$version] IS NULL OR (x[$source_name] = row[4] AND x[$lines] IS NULL{same} "
    "AND x[$version] <= row[3])), false) AS fresh "
    f"FOREACH (_ IN CASE WHEN fresh THEN [1] ELSE [] END | MERGE (g:{TOMBSTONE} {{{{entity: row[1]}}}}) "
    "SET g.lines = [row[5]]"
)
_LEFT = "RETURN collect(CASE WHEN NOT fresh THEN row[0] END)"


def _rows(place: int) -> str:
    # Compared with 0 later: `COUNT { } > 0` becomes a scan, and the whole statement then told nothing (seen in 5.26).
    return f"WITH COUNT {{ (:{TOMBSTONE}) }} AS graves UNWIND $blocks[{place}][1] AS row"


def _buried(place: int, things: str, missing: str, entity: str) -> str:
    """Return what looks for the tombstone of what is missing, and the version of its line if that is all it has.

    The places in a line are those of `lines.written`.
    """
    return (
        f"OPTIONAL MATCH (t:{TOMBSTONE} {{entity: CASE WHEN graves > 0 AND {missing} THEN {entity} END}}) {GRAVE_SEEK} "
        f"WITH {things}, had, before, t, "
        f"CASE WHEN size(t.lines) = 1 AND substring(t.lines[0], {DIGITS + 1}) = $blocks[{place}][0] "
        f"THEN toInteger(left(t.lines[0], {DIGITS})) END AS buried "
        f"WITH {things}, had, before, t, buried,"
    )


def _one_line(place: int) -> str:
    return f"had[$source_name] = $blocks[{place}][0] AND had[$lines] IS NULL"


def _graves(condition: str) -> str:
    return f"COUNT {{ MATCH (g:{TOMBSTONE}) USING INDEX SEEK g:{TOMBSTONE}(node) WHERE g.node {condition} }}"


def _account(place: int, names: Sequence[str], *, first: int) -> list[tuple[str, str]]:
    """Return names and values of what an upsert sets; what is null is not there afterwards."""
    values = ("row[1]", f"$blocks[{place}][0]", "row[3]")
    columns = ((quoted(name), f"row[{column}]") for column, name in enumerate(names, first))
    return [*zip(OWN, values, strict=True), *columns]


def _set(account: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"x.{name} = {value}" for name, value in account)


def _listed(names: Sequence[str]) -> str:
    quoted_names = [f"'{literal(name)}'" for name in names]
    return f"[{', '.join(quoted_names)}]"
