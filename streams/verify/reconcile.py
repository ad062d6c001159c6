"""Compare the stores with what they must hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
from msgspec import Struct

from connectors.sinks.contract import Held, Sink
from schemas.reference import ResumedEvent, WaitingEvent
from schemas.writes import BaseWrite, StoreName
from streams.runtime.records import Record
from streams.verify.model import Expected, Key, Position

BATCH = 5_000
SHOWN = 20


class StoreReport(Struct, kw_only=True):
    """What was found in one store. `problems` is empty when all adds up.

    `expected` must be there and `found` are, `deleted` must not be there. `waiting` are not due yet, since their event
    waits for its place; of `rejected` a dead letter says why the store does not have them.
    """

    store: StoreName
    expected: int = 0
    found: int = 0
    deleted: int = 0
    waiting: int = 0
    rejected: int = 0
    problems: list[str] = []


class Report(Struct, kw_only=True):
    """What was found everywhere. `waiting` events are put aside until their place arrives."""

    stores: list[StoreReport]
    letters_expected: int
    letters_found: int
    waiting: int = 0
    problems: list[str]

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, nothing is there twice, and nothing that was deleted is still there."""
        return not self.problems and not any(one.problems for one in self.stores)


def check_store(
    store: StoreName,
    sink: Sink[Any],
    expected: Expected,
    *,
    waiting: Set[str] = frozenset(),
    rejected: Set[tuple[Key, int]] = frozenset(),
) -> StoreReport:
    """Ask a store for every entity that it must or must not hold.

    Args:
        store: its name.
        sink: the store itself, open.
        expected: what must be there.
        waiting: ids of the events that were put aside until their place arrives and have not gone on.
        rejected: entities and versions of writes that became dead letters.

    Raises:
        Unavailable: the store does not answer.
    """
    report = StoreReport(store=store, problems=[])
    put_off = waiting & expected.unplaced
    wanted: dict[Key, BaseWrite] = {}
    for key, write in expected.newest.items():
        if key[0] != store:
            continue
        if write.event_id in put_off:
            report.waiting += 1
        elif (key, write.version) in rejected:
            report.rejected += 1
        else:
            wanted[key] = write
    for batch in _batches(list(wanted)):
        held = sink.held([(entity, source) for _, entity, source in batch])
        for key in batch:
            timely, deleted = key in expected.timely, wanted[key].op == "delete"
            problem = _judge(key, wanted[key], held.get(key[1:]), timely=timely)
            if problem is not None:
                report.problems.append(problem)
            report.deleted += deleted
            if not deleted and not timely:
                report.expected += 1
                report.found += problem is None
    return report


def check_letters(expected: Mapping[Position, str], found: Sequence[tuple[Position, str]]) -> list[str]:
    """Return what is wrong with the dead letters: missing, unexpected, or for another reason.

    The same letter twice is not: a worker that is killed after it wrote a letter writes it again.
    """
    problems: list[str] = []
    letters = set(found)
    counts = Counter(position for position, _ in letters)
    reasons = dict(found)
    for position, reason in expected.items():
        if position not in counts:
            problems.append(f"no dead letter for {_at(position)}: {reason}")
        elif reasons[position] != reason:
            problems.append(f"the dead letter for {_at(position)} says {reasons[position]!r}, expected {reason!r}")
    problems += [f"an unexpected dead letter for {_at(at)}: {why}" for at, why in sorted(letters) if at not in expected]
    problems += [
        f"{count} different dead letters for {_at(position)}" for position, count in counts.items() if count > 1
    ]
    return problems


def still_waiting(waited: Iterable[Record], resumed: Iterable[Record]) -> Set[str]:
    """Return the ids of events that were put aside and have not gone on.

    Args:
        waited: the records of the topic of waiting events.
        resumed: the records of the topic of resumed events.
    """
    gone_on = {msgspec.json.decode(record.value or b"", type=ResumedEvent).event.event_id for record in resumed}
    put_aside = {msgspec.json.decode(record.value or b"", type=WaitingEvent).event.event_id for record in waited}
    return put_aside - gone_on


def _judge(key: Key, newest: BaseWrite, held: Held | None, *, timely: bool) -> str | None:
    store, entity, _ = key
    gone = held is None or held.deleted
    if newest.op == "delete":
        return None if gone else f"{store}: {entity} was deleted at version {newest.version} and is still there"
    if timely and gone:
        return None
    if held is None or held.deleted or not held.copies:
        return f"{store}: {entity} is missing (version {newest.version}, event {newest.event_id})"
    if held.copies != 1:
        return f"{store}: {entity} is there {held.copies} times"
    if held.version != newest.version and not timely:
        return f"{store}: {entity} has version {held.version}, expected {newest.version}"
    return None


def _batches(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _at(position: Position) -> str:
    topic, partition, offset = position
    return f"{topic}-{partition}@{offset}"
