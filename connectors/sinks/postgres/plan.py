"""What a batch does to the version lines and to the rows. Pure.

Most writes are the only ones of a new entity in their batch: their line and their row say what the write says, and no
versions have to be compared. The others go through `merge`, one by one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from connectors.sinks.contract import APPLIED, Outcome, Rejected
from connectors.sinks.postgres.lines import encode_versions, set_together
from connectors.sinks.postgres.merge import NEVER, Line, RowChange, Value, apply
from schemas.writes import RelationalWrite

Identity = tuple[str, str]  # entity, source
Place = tuple[str, str]  # table, key
Shape = tuple[str, tuple[str, ...]]  # table, columns in order of their names
LineRow = tuple[str, str, str, str, int, bool, int, str, int]  # as `statements.LINE` names them
Columns = list[Sequence[Value]]  # the keys, then the columns of a shape


class Plan(msgspec.Struct):
    """What is to be written for a batch; `outcomes` holds once it is.

    `new_lines` are not there yet, `changed_lines` are, both in order of entity and source. `removed` are keys by table;
    `rows` may be there or not, of `new_rows` no write of ours has ever said anything.
    """

    outcomes: list[Outcome]
    new_lines: list[LineRow] = []
    changed_lines: list[LineRow] = []
    removed: dict[str, list[str]] = {}
    rows: list[tuple[Shape, Columns]] = []
    new_rows: list[tuple[Shape, Columns]] = []


class Sorted(NamedTuple):
    """Writes of a batch, as far as they can be told apart before anything of the database is known.

    `alone` are places of upserts that are the only write of their entity and of their row, by table and names.
    """

    writes: Sequence[RelationalWrite]
    alone: dict[tuple[str, tuple[str, ...]], list[int]]
    others: list[int]


def sorted_out(writes: Sequence[RelationalWrite]) -> Sorted:
    """Tell writes apart, each of which fits its table."""
    entities = [write.entity for write in writes]
    places = [(write.table, write.key) for write in writes]
    of_entity, of_place = Counter(entities), Counter(places)
    alone: defaultdict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
    others: list[int] = []
    for index, (write, entity, place) in enumerate(zip(writes, entities, places, strict=True)):
        if of_entity[entity] == 1 == of_place[place] and write.op == "upsert":
            alone[write.table, tuple(write.columns)].append(index)
        else:
            others.append(index)
    return Sorted(writes, alone, others)


def planned(found: Sorted, known: Mapping[Identity, Line]) -> Plan:
    """Return what to do for writes, in order.

    Args:
        found: the writes.
        known: the lines of their entities, of all sources.
    """
    writes, seen, others = found.writes, {entity for entity, _ in known}, list(found.others)
    plan = Plan([APPLIED] * len(writes))
    for (table, names), places in found.alone.items():
        new = places
        if seen:
            new = [place for place in places if writes[place].entity not in seen]
            others += [place for place in places if writes[place].entity in seen]
        if new:
            _plan_alone(plan, table, names, [writes[place] for place in new])
    _plan_others(plan, [(place, writes[place]) for place in sorted(others)], known, seen)
    plan.new_lines.sort()
    return plan


def _plan_alone(plan: Plan, table: str, names: tuple[str, ...], writes: Sequence[RelationalWrite]) -> None:
    shape, order, said = _shape(table, names)
    values: Columns = list(zip(*[write.columns.values() for write in writes], strict=True))
    plan.new_rows.append((shape, [[write.key for write in writes], *(values[index] for index in order)]))
    plan.new_lines += [(one.entity, one.source, table, one.key, one.version, False, NEVER, said, 1) for one in writes]


@cache  # as many as there are ways in which writes name columns
def _shape(table: str, names: tuple[str, ...]) -> tuple[Shape, tuple[int, ...], str]:
    """Return the shape, where its columns stand in `names`, and what a line says of them that was set with it."""
    order = tuple(sorted(range(len(names)), key=names.__getitem__))
    columns = tuple(names[index] for index in order)
    return (table, columns), order, set_together(table, columns)


def _plan_others(
    plan: Plan, writes: Iterable[tuple[int, RelationalWrite]], known: Mapping[Identity, Line], seen: set[str]
) -> None:
    lines = {identity: msgspec.structs.replace(line) for identity, line in known.items()}
    changes: defaultdict[Place, RowChange] = defaultdict(RowChange)
    old: set[Place] = set()
    for index, write in writes:
        identity = (write.entity, write.source)
        place = (write.table, write.key)
        line = lines.get(identity)
        if line is None:
            line = lines[identity] = Line(table=write.table, key=write.key)
        if write.entity in seen:
            old.add(place)
        if (line.table, line.key) != place:
            reason = f"`key`: {write.entity} is the row {line.key!r} of {line.table} already"
            plan.outcomes[index] = Rejected(reason)
        else:
            plan.outcomes[index] = apply(write, line, changes[place])
    plan.new_lines += [_row(identity, line) for identity, line in lines.items() if identity not in known]
    changed = {identity: line for identity, line in lines.items() if line != known.get(identity, line)}
    plan.changed_lines = [_row(identity, line) for identity, line in sorted(changed.items(), key=_identity)]
    rows: defaultdict[tuple[bool, Shape], list[tuple[Value, ...]]] = defaultdict(list)
    for place, change in sorted(changes.items(), key=_place):  # one order for all: no deadlocks
        table, key = place
        if change.remove:
            plan.removed.setdefault(table, []).append(key)
        if change.columns is not None:
            shape, _, _ = _shape(table, tuple(change.columns))
            new = place not in old and not change.remove
            rows[new, shape].append((key, *map(change.columns.__getitem__, shape[1])))
    for (new, shape), found in rows.items():
        (plan.new_rows if new else plan.rows).append((shape, list(zip(*found, strict=True))))


def _row(identity: Identity, line: Line) -> LineRow:
    versions = encode_versions(line.table, line.version, line.columns)
    return (*identity, line.table, line.key, line.version, line.deleted, line.removed, versions, line.revision + 1)


def _identity(item: tuple[Identity, Line]) -> Identity:
    return item[0]


def _place(item: tuple[Place, RowChange]) -> Place:
    return item[0]
