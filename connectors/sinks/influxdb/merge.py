"""What a batch makes of a point. Pure.

A point carries the versions of its sources in fields of its own, so content and version are one line and become visible
together. What was deleted is remembered by a tombstone: a point of the same tags and time in the measurement
`deleted:<measurement>`, written before the point is removed. A point that is still there although its tombstone knows
its version is one whose removal was interrupted; it counts as gone, and is removed with the next write.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, structs

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome, Rejected
from connectors.sinks.influxdb.lines import Field
from connectors.sinks.undo import emptied
from schemas.writes import TimeSeriesWrite


class Latest(NamedTuple):
    """The newest version of one source, and whether it was a delete."""

    version: int
    deleted: bool


class State(Struct, frozen=True):
    """What the store holds at a point: `live` are the versions in the point, `buried` those in its tombstone."""

    entity: str | None = None
    live: Mapping[str, int] = {}
    buried: Mapping[str, Latest] = {}

    @property
    def present(self) -> bool:
        """Whether something lies there, also if it should not."""
        return bool(self.live)

    @property
    def leftover(self) -> bool:
        """Whether what lies there was to be removed."""
        return any(source in self.buried and self.buried[source].version >= self.live[source] for source in self.live)

    @property
    def visible(self) -> bool:
        """Whether something lies there, and should."""
        return self.present and not self.leftover

    def latest(self) -> dict[str, Latest]:
        """Return the newest version of each source."""
        found = dict(self.buried)
        for source, version in self.live.items():
            if source not in found or found[source].version < version:
                found[source] = Latest(version, deleted=False)
        return found


NOTHING = State()


class Change(Struct, frozen=True):
    """What to do at a point. `content` None: nothing is to lie there, or what does is right."""

    outcomes: Sequence[Outcome]
    entity: str  # the one that the point belongs to
    content: TimeSeriesWrite | None = None
    versions: Mapping[str, int] = {}  # those that go into the line of `content`
    bury: Mapping[str, Latest] | None = None  # the tombstone to be written first
    remove: bool = False  # what lies there goes before `content` comes
    again: bool = False  # `content` lies there already, as far as a reader can see


def changed(state: State, writes: Sequence[TimeSeriesWrite]) -> Change:
    """Return what writes of one point, in order, make of it. The first entity at a point keeps it."""
    latest = state.latest()
    entity = state.entity
    outcomes: list[Outcome] = []
    applied: list[TimeSeriesWrite] = []
    for write in writes:
        known = latest.get(write.source)
        if entity is not None and write.entity != entity:
            outcomes.append(Rejected(f"`entity`: the point with these tags and this time is {entity!r} already"))
        elif known is not None and known.version > write.replaces:
            outcomes.append(SUPERSEDED)
        else:
            entity = write.entity
            latest[write.source] = Latest(write.version, deleted=write.op == "delete")
            applied.append(write)
            outcomes.append(APPLIED)
    before = state.latest()
    if not applied:
        return _said_again(state, writes, outcomes)
    content = applied[-1] if applied[-1].op == "upsert" else None
    spoke = {write.source for write in applied}
    deletes = any(latest[source].deleted for source in spoke)
    versions = {} if content is None else {one: latest[one].version for one in spoke if not latest[one].deleted}
    remove = state.present and (content is None or deletes or state.leftover)
    if not (remove or deletes or content is None):
        return Change(outcomes, entity or "", content, versions)
    # Of what the content brings itself the tombstone knows only what came before: else it would bury that too.
    bury = before | {source: one for source, one in latest.items() if source not in versions}
    bury = _below(bury, versions)
    return Change(outcomes, entity or "", content, versions, bury=bury, remove=remove)


def _said_again(state: State, writes: Sequence[TimeSeriesWrite], outcomes: Sequence[Outcome]) -> Change:
    """Return what to do at a point where all that writes say can be read already.

    What can be read need not be on the disk: when InfluxDB fails to write its log, it refuses the points and shows them
    all the same, until it is started again. So what is told with the version that lies there is written once more; see
    `unless_other` for the content.
    """
    left, latest, entity = state.leftover, state.latest(), state.entity or ""
    told = [one for one in writes if (one.version, one.op == "delete") == latest.get(one.source) and not left]
    if left or any(one.op == "delete" for one in told):
        return Change(outcomes, entity, bury=latest if left else state.buried, remove=left)
    if not told:
        return Change(outcomes, entity)
    return Change(outcomes, entity, told[-1], {told[-1].source: told[-1].version}, again=True)


def unless_other(change: Change, present: Mapping[str, Field]) -> Change:
    """Return a change that says again what lies there only if it is the same.

    Else the content of another source would go, or a version that is no newer would change something.

    Args:
        change: of a point that is there.
        present: its fields.
    """
    if not change.again or change.content is None or change.content.fields == dict(present):
        return change
    return structs.replace(change, content=None, versions={}, again=False)


def without_stale_fields(change: Change, state: State, present: Collection[str]) -> Change:
    """Return a change that also removes the fields that new content does not have: a line only adds to a point.

    Args:
        change: new content for a point that is there.
        state: the point as it is now.
        present: the names of its fields.
    """
    if change.remove or change.content is None or set(present) <= change.content.fields.keys():
        return change
    return structs.replace(change, bury=_below(state.latest(), change.versions), remove=True)


def _below(bury: Mapping[str, Latest], versions: Mapping[str, int]) -> dict[str, Latest]:
    """Leave out of a tombstone what the new content brings again: a repair has the version of what it replaces."""
    return {source: one for source, one in bury.items() if source not in versions or one.version < versions[source]}


def undo_of(write: TimeSeriesWrite, state: State, fields: Mapping[str, Field]) -> TimeSeriesWrite | None:
    """Return what brings a point back after a write; see `connectors.sinks.contract.Undoing`.

    Args:
        write: not yet applied.
        state: of its point.
        fields: those of its point, as far as they are content.
    """
    known = state.latest().get(write.source)
    taken = state.entity is not None and state.entity != write.entity
    if taken or (known is not None and known.version >= write.version):
        return None
    if not state.visible:
        return emptied(write)
    version = 0 if known is None else known.version
    return structs.replace(write, fields=dict(fields), op="upsert", version=version, undo=False)
