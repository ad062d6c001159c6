"""What writes of parts of rows do to rows, whatever order they come in.

A write names some columns of a row. A trip is planned by one event, started by another and ended by a third, each with
its own version and its own columns, and the second may come first. So the guard is kept for each column: a column takes
a value when the write is newer than the one that set it. A late `trip_planned` fills in the title and leaves the status
to the newer `trip_started`.

A delete is a write of all columns at once: it clears those that are older, also when it comes late, and the row goes
when nothing newer is left. The same set of writes of one source therefore gives the same row in every order.
"""

from msgspec import Struct

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from schemas.writes import RelationalWrite, Scalar

Value = Scalar | list[str]
NEVER = -1


class Line(Struct, kw_only=True):
    """What is known of one entity from one source.

    `version` is the newest write, `deleted` whether that was a delete, `removed` the newest delete; `columns` says
    which version set each column. `revision` counts the changes of the line, for whoever stores it.
    """

    table: str
    key: str
    version: int = NEVER
    deleted: bool = False
    removed: int = NEVER
    columns: dict[str, int] = {}
    revision: int = 0


class RowChange(Struct, kw_only=True):
    """What a batch does to one row: remove it or not, then set these columns (which makes it); None: leave it gone."""

    remove: bool = False
    columns: dict[str, Value] | None = None


def apply(write: RelationalWrite, line: Line, change: RowChange) -> Outcome:
    """Work a write into its line and into what is to be done to its row; both are changed in place."""
    return _delete(write, line, change) if write.op == "delete" else _upsert(write, line, change)


def _upsert(write: RelationalWrite, line: Line, change: RowChange) -> Outcome:
    newest = write.version > line.version
    if write.version <= line.removed:
        return SUPERSEDED
    taken = write.columns
    if line.columns:
        taken = {name: value for name, value in taken.items() if line.columns.get(name, NEVER) <= write.replaces}
    if not newest and not taken:
        return SUPERSEDED
    if newest:
        line.version, line.deleted = write.version, False
    line.columns = line.columns | dict.fromkeys(taken, write.version)
    change.columns = change.columns | taken if change.columns else taken
    return APPLIED


def _delete(write: RelationalWrite, line: Line, change: RowChange) -> Outcome:
    if line.version <= write.replaces:
        line.version, line.deleted, line.removed, line.columns = write.version, True, write.version, {}
        change.remove, change.columns = True, None
        return APPLIED
    if write.version <= line.removed or write.version == line.version:
        return SUPERSEDED
    line.removed = write.version  # late, but it still keeps out what is older
    older = {name for name, version in line.columns.items() if version < write.version}
    if not older:
        return SUPERSEDED
    line.columns = {name: version for name, version in line.columns.items() if name not in older}
    change.columns = (change.columns or {}) | dict.fromkeys(older)
    return APPLIED
