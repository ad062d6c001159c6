"""What writes make of an entity, and what is remembered of it. Pure.

The ledger, an index of its own, has an entry for each entity, also of those that were deleted: the newest version of
each source, and which vector lies where. The vector is written first and the entry after it. So whatever is killed in
between is done again when its writes come again, with the same result, whichever batches they come in then.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from connectors.sinks.pinecone.records import fingerprint, mark_of
from schemas.writes import VectorWrite


class Latest(NamedTuple):
    """The newest version of one source, and whether it was a delete."""

    version: int
    deleted: bool


class Entry(Struct, frozen=True, omit_defaults=True):
    """What the ledger says of an entity.

    Attributes:
        versions: by source.
        namespace: where its vector lies, or lay.
        mark: the write that its record is of; empty: there is none.
        vector: hash of the vector.
        fields: names of its metadata.
    """

    versions: Mapping[str, Latest]
    namespace: str
    mark: str = ""
    vector: str = ""
    fields: Sequence[str] = ()


class Change(Struct, frozen=True):
    """What to do with an entity; `entry` None: nothing."""

    outcomes: Sequence[Outcome]
    entry: Entry | None = None
    content: VectorWrite | None = None  # what its record is to become
    remove: str = ""  # the namespace that its record has to leave
    same_vector: bool = False  # the record has this vector already, and no field that is to go


def changed(entry: Entry | None, writes: Sequence[VectorWrite]) -> Change:
    """Return what writes of one entity, in order, make of it."""
    latest = dict(entry.versions) if entry else {}
    outcomes: list[Outcome] = []
    applied: list[VectorWrite] = []
    for write in writes:
        known = latest.get(write.source)
        if known is not None and known.version > write.replaces:
            outcomes.append(SUPERSEDED)
        else:
            latest[write.source] = Latest(write.version, deleted=write.op == "delete")
            applied.append(write)
            outcomes.append(APPLIED)
    if not applied:
        return Change(outcomes)
    last = applied[-1]
    before = entry.namespace if entry and entry.mark else ""
    if last.op == "delete":
        # Also where the ledger knows of nothing: a write may have been killed before its entry was there.
        return Change(outcomes, Entry(latest, last.namespace), remove=before or last.namespace)
    fields = sorted(name for name, value in last.metadata.items() if value is not None)
    after = Entry(latest, last.namespace, mark_of(last), fingerprint(last), [*fields, *(["text"] if last.text else [])])
    repair = any(write.repair for write in applied)  # what lies there need not be what the entry says
    alone = len(applied) == 1  # else one of them may have been killed before its entry, and lie there instead
    same = alone and entry is not None and before == last.namespace and entry.vector == after.vector and not repair
    return Change(
        outcomes,
        after,
        last,
        remove=before if before != last.namespace else "",
        same_vector=same and set(entry.fields if entry else ()) <= set(after.fields),
    )


def without_record(entry: Entry) -> Entry:
    """Return the entry of an entity whose record was taken away by somebody: its versions stay."""
    return Entry(entry.versions, entry.namespace)
