"""The order in which the writes of a batch are applied. Pure.

Within a stage every node comes before every relation and every upsert before every delete, each kind in one statement
for all entities it concerns. So an upsert after a delete, or what touches a node after its delete, waits for the next
stage. Upserts of one entity that follow each other become one change: only the last one's content remains anyway.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

from msgspec import Struct, field

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from schemas.writes import GraphWrite, NodeRef

NOTHING = -1  # older than every version


class Phase(IntEnum):
    """What happens in a stage, in this order."""

    NODE = 0
    RELATION = 1
    RELATION_GONE = 2
    NODE_GONE = 3
    UNNAMED_GONE = 4  # a delete that names an entity alone; nothing else is in its stage


class Change(Struct, gc=False):
    """What one statement does to one entity: the newest of the writes it stands for, and the versions of all."""

    write: GraphWrite
    indices: list[int]
    versions: list[int]

    def outcomes(self, before: int) -> Iterable[tuple[int, Outcome]]:
        """Yield the outcome of each write, when the store held version `before` of its source."""
        newest = before
        if self.write.repair:  # stands for itself alone
            newest = NOTHING if before <= self.write.replaces else before
        for index, version in zip(self.indices, self.versions, strict=True):
            yield index, APPLIED if version > newest else SUPERSEDED
            newest = max(newest, version)


class Stage(Struct):
    """Changes by phase."""

    phases: dict[Phase, list[Change]] = field(default_factory=dict[Phase, list[Change]])


class _Last(Struct, gc=False):
    stage: int
    phase: Phase
    change: Change


def plan(writes: Sequence[tuple[int, GraphWrite]]) -> list[Stage]:
    """Return the stages of a batch, given as (index, write) in their order."""
    planner = _Planner(deletes=any(write.op == "delete" for _, write in writes))
    for index, write in writes:
        planner.add(index, write)
    return planner.stages


def phase_of(write: GraphWrite) -> Phase:
    """Return when in its stage a write is applied."""
    deleted = write.op == "delete"
    if write.relation is not None:
        return Phase.RELATION_GONE if deleted else Phase.RELATION
    if write.node is not None:
        return Phase.NODE_GONE if deleted else Phase.NODE
    return Phase.UNNAMED_GONE


class _Planner:
    def __init__(self, *, deletes: bool) -> None:
        self.stages: list[Stage] = []
        self._deletes = deletes  # without any, which nodes are touched makes no difference
        self._floor = 0
        self._last: dict[str, _Last] = {}
        self._touched: dict[NodeRef, int] = {}
        self._gone: dict[NodeRef, int] = {}

    def add(self, index: int, write: GraphWrite) -> None:
        phase = phase_of(write)
        if phase is Phase.UNNAMED_GONE:
            self._floor = len(self.stages)
        needed = self._needed(phase, write)
        last = self._last.get(write.entity)
        if last is not None:
            if last.phase is phase and last.stage >= needed and _continues(last.change.write, write):
                last.change.indices.append(index)
                last.change.versions.append(write.version)
                if write.version > last.change.write.version:
                    last.change.write = write
                return
            needed = max(needed, last.stage + (last.phase >= phase))
        change = Change(write, [index], [write.version])
        self._put(needed, phase, change)
        self._last[write.entity] = _Last(needed, phase, change)
        if phase is Phase.UNNAMED_GONE:
            self._floor = len(self.stages)

    def _needed(self, phase: Phase, write: GraphWrite) -> int:
        needed = self._floor
        refs = (write.node,) if write.node is not None else (write.start, write.end)
        if phase is Phase.RELATION_GONE or not self._deletes:
            return needed  # a relation that went with its node leaves the same trace as one that goes by itself
        for ref in refs:
            if ref is None:
                continue
            needed = max(needed, self._gone.get(ref, -1) + 1)
            if phase is Phase.NODE_GONE:
                needed = max(needed, self._touched.get(ref, 0))
        return needed

    def _put(self, stage: int, phase: Phase, change: Change) -> None:
        while len(self.stages) <= stage:
            self.stages.append(Stage())
        self.stages[stage].phases.setdefault(phase, []).append(change)
        if not self._deletes:
            return
        write = change.write
        for ref in (write.node, write.start, write.end):
            if ref is not None:
                known = self._gone if phase is Phase.NODE_GONE else self._touched
                known[ref] = max(known.get(ref, 0), stage)


def _continues(earlier: GraphWrite, later: GraphWrite) -> bool:
    return (
        later.op == "upsert"
        and not (earlier.repair or later.repair)
        and earlier.source == later.source
        and earlier.node == later.node
        and (earlier.relation, earlier.start, earlier.end) == (later.relation, later.start, later.end)
    )
