"""Which types of entities are settled, and how; and what a change of a row claims. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from schemas.changes import Row, is_unavailable
from schemas.conflicts import EntityClaim
from schemas.sensitive import read_sealed
from streams.conflicts.canonical import digest
from streams.conflicts.settle import WINDOW_MS
from streams.conflicts.strategies import Strategy
from streams.routing.changes import PLACES, TRAVELLERS, RowChange
from streams.routing.entities import entity

# The types whose rows may come from several sources, and their tables.
TYPES: Mapping[str, frozenset[str]] = {"place": PLACES, "user": TRAVELLERS}
_TYPE_OF = {table: name for name, tables in TYPES.items() for table in tables}


class Rule(Struct, frozen=True, kw_only=True):
    """How entities of one type are settled.

    Attributes:
        strategy: its name, as in the options.
        settle: the strategy.
        ignored: columns that are no part of the content.
        by_member: whether the strategy settles members one by one.
    """

    strategy: str
    settle: Strategy
    ignored: frozenset[str] = frozenset()
    by_member: bool = False


class Rules(Struct, frozen=True, kw_only=True):
    """How all types are settled that are.

    Attributes:
        types: by the name of the type; others are not settled.
        window_ms: see `streams.conflicts.settle`.
        confidences: of sources that are not certain, by the name of the source.
        regions: where sources are, by their name.
    """

    types: Mapping[str, Rule]
    window_ms: int = WINDOW_MS
    confidences: Mapping[str, float] = {}
    regions: Mapping[str, str] = {}

    def of_table(self, table: str) -> Rule | None:
        """Return how rows of a table are settled; None when they are not."""
        return self.types.get(_TYPE_OF.get(table, ""))

    def claim_of(self, change: RowChange) -> EntityClaim | None:
        """Return what a change claims; None when its type is not settled.

        Raises:
            NotCanonical: the row that was changed has no canonical form.
        """
        rule = self.of_table(change.table)
        if rule is None:
            return None
        source = change.cause["source"]
        before, after = change.change.before, None if change.deleted else change.change.after
        base = None
        if before is not None and after is not None and _is_whole(before, after):
            changed = _content(before, rule)
            base = None if _is_sealed(changed) else digest(changed)
        return EntityClaim(
            table=change.table,
            id=change.row_id,
            source=source,
            version=change.cause["version"],
            at_ms=change.change.source.ts_ms,
            content=None if after is None else _content(after, rule),
            confidence=self.confidences.get(source, 1.0),
            region=self.regions.get(source, ""),
            base=base,
        )


def type_of(table: str) -> str:
    """Return the type of the rows of a table.

    Raises:
        KeyError: rows of this table are of no type that can be settled.
    """
    return _TYPE_OF[table]


def subject_of(table: str, row_id: str) -> str:
    """Return the name of the entity that a row is.

    Raises:
        KeyError: as `type_of`.
    """
    return entity(_TYPE_OF[table], row_id)


def _is_whole(before: Row, after: Row) -> bool:
    """Whether `before` has the whole row: with the default replica identity it has the key at most, the rest null."""
    if before.keys() != after.keys() or any(is_unavailable(value) for value in before.values()):
        return False
    return any(value is not None for column, value in before.items() if column != "id")


def _is_sealed(content: Row) -> bool:
    """Whether a value is sealed: it is anew in each change, so the content is what no source has ever said."""
    return any(isinstance(value, str) and read_sealed(value) is not None for value in content.values())


def _content(row: Row, rule: Rule) -> Row:
    return {column: value for column, value in row.items() if column not in rule.ignored} if rule.ignored else row
