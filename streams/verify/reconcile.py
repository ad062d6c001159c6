"""Compare the stores with what they must hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from connectors.sinks.contract import Held, Sink
from schemas.writes import BaseWrite, StoreName
from streams.verify.model import Expected, Key, Position

BATCH = 5_000
SHOWN = 20


class StoreReport(Struct, kw_only=True):
    """What was found in one store. `problems` is empty when all adds up."""

    store: StoreName
    expected: int = 0
    found: int = 0
    deleted: int = 0
    problems: list[str] = []


class Report(Struct, kw_only=True):
    """What was found everywhere."""

    stores: list[StoreReport]
    letters_expected: int
    letters_found: int
    problems: list[str]

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, nothing is there twice, and nothing that was deleted is still there."""
        return not self.problems and not any(one.problems for one in self.stores)


def check_store(store: StoreName, sink: Sink[Any], expected: Expected) -> StoreReport:
    """Ask a store for every entity that it must or must not hold.

    Raises:
        Unavailable: the store does not answer.
    """
    report = StoreReport(store=store, problems=[])
    wanted = {key: write for key, write in expected.newest.items() if key[0] == store}
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
    """Return what is wrong with the dead letters: missing, unexpected, twice, or for another reason."""
    problems: list[str] = []
    counts = Counter(position for position, _ in found)
    reasons = dict(found)
    for position, reason in expected.items():
        if position not in counts:
            problems.append(f"no dead letter for {_at(position)}: {reason}")
        elif reasons[position] != reason:
            problems.append(f"the dead letter for {_at(position)} says {reasons[position]!r}, expected {reason!r}")
    problems += [f"an unexpected dead letter for {_at(at)}: {why}" for at, why in found if at not in expected]
    problems += [f"{count} dead letters for {_at(position)}" for position, count in counts.items() if count > 1]
    return problems


def _judge(key: Key, newest: BaseWrite, held: Held | None, *, timely: bool) -> str | None:
    store, entity, _ = key
    gone = held is None or held.deleted
    if newest.op == "delete":
        return None if gone else f"{store}: {entity} was deleted at version {newest.version} and is still there"
    if timely and gone:
        return None
    if held is None or held.deleted:
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
