"""The set checker: what went in, what came out and what is in the tables must add up, whatever was done in between.

Pure. All of it is derived from two logs, the input as the producer saw it acknowledged and the output topic; nothing is
taken from the code under test, not even what replaces what in a changelog.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from bench.chaos.events import Output, Sent, Stored


class Loss(Struct, frozen=True):
    """A moment at which at-least-once allows repeats: somebody lost work that was told of and not committed.

    An input record may be told of once more for each loss that covers it.
    """

    what: str
    committed: Mapping[int, int]  # by partition, just after the moment
    worker: str | None = None  # who lost it; None: everybody, as when the broker goes away
    # Where the output ended, by partition, when it was over; None: to be limited by `worker`, who told nothing later
    # or nothing that counts.
    until: Mapping[int, int] | None = None


class Tables(NamedTuple):
    """What the state tables hold, by key."""

    counts: Mapping[str, Stored]
    seen: Mapping[str, Stored]  # by event number


class Findings(Struct, frozen=True):
    """What does not add up; each list has one line for each fault. `duplicates` may be up to `bound`."""

    missing: list[str]  # events acknowledged and never told of; bad records that were not set aside
    invented: list[str]  # outputs and dead letters of what was not sent, or was to be dropped
    differences: list[str]  # between the tables, or the counts told, and the model
    disorder: list[str]  # events of a key told of first out of sequence
    unexplained: list[str]  # repeats that no loss allows
    effects: list[str]  # events that a versioned sink applied not exactly once
    duplicates: int
    bounds: list[tuple[str, int]]  # what was lost, and how many events may be told of once more because of it

    @property
    def bound(self) -> int:
        """How many duplicates at-least-once allows."""
        return sum(events for _, events in self.bounds)

    @property
    def clean(self) -> bool:
        """Whether everything adds up."""
        return not any(
            (self.missing, self.invented, self.differences, self.disorder, self.unexplained, self.effects)
        ) and (self.duplicates <= self.bound)


def check(
    sent: Sequence[Sent],
    outputs: Sequence[Output],
    tables: Tables,
    *,
    set_aside: Iterable[tuple[int, int]] = (),
    losses: Sequence[Loss] = (),
    effects: Mapping[int, int],
) -> Findings:
    """Compare everything with the model.

    Args:
        sent: every acknowledged input record.
        outputs: the output topic, each partition in order.
        tables: the state at the end.
        set_aside: partition and offset of the input record of each dead letter.
        losses: when work was lost.
        effects: how often a versioned sink applied each event; see `bench.chaos.versioned`.
    """
    first = first_sightings(sent)
    letters = Counter(set_aside)
    told = Counter(output.told.event for output in outputs)
    # A bad record may be set aside again for each loss at which that was not committed; one letter is needed.
    bad = {(one.partition, one.offset) for one in sent if not one.good}
    covered = [repeatable(outputs, loss) for loss in losses]
    allowed = Counter(event for events in covered for event in events)
    repeats = {event: times - 1 for event, times in told.items() if times > 1}
    unexplained = {event: times - allowed[event] for event, times in repeats.items() if times > allowed[event]}
    return Findings(
        missing=[
            *(f"event {event} of key {one.key}" for event, one in first.items() if event not in told),
            *(f"no dead letter of partition {one[0]} offset {one[1]}" for one in sorted(bad - letters.keys())),
        ],
        invented=[
            *_invented(first, outputs),
            *(f"a dead letter of partition {one[0]} offset {one[1]}" for one in sorted(letters.keys() - bad)),
        ],
        differences=[*_differences(first, tables), *_miscounted(first, outputs)],
        disorder=_disorder(outputs),
        unexplained=[f"event {event}: {times} more than allowed" for event, times in sorted(unexplained.items())],
        effects=[
            f"event {event} was applied {effects.get(event, 0)} times"
            for event in sorted(first.keys() | effects.keys())
            if effects.get(event, 0) != (1 if event in first else 0)
        ],
        duplicates=sum(repeats.values()),
        bounds=[(loss.what, len(events)) for loss, events in zip(losses, covered, strict=True)],
    )


def first_sightings(sent: Iterable[Sent]) -> dict[int, Sent]:
    """Return of each good event the record that comes first in its partition; all others are to be dropped."""
    first: dict[int, Sent] = {}
    for one in sent:
        if one.good and (one.event not in first or one.offset < first[one.event].offset):
            first[one.event] = one
    return first


def repeatable(outputs: Sequence[Output], loss: Loss) -> set[int]:
    """Return the events that may be told of once more because of a loss: told of and not committed."""
    events: set[int] = set()
    for output in outputs:
        if loss.until is not None and output.offset >= loss.until.get(output.partition, 0):
            continue
        if loss.worker is not None and output.told.worker != loss.worker:
            continue
        if output.told.offset >= loss.committed.get(output.partition, 0):
            events.add(output.told.event)
    return events


def _invented(first: Mapping[int, Sent], outputs: Iterable[Output]) -> list[str]:
    """Return the outputs that tell of anything but the first sighting of an event as it was sent."""
    found: list[str] = []
    for output in outputs:
        told = output.told
        sighting = first.get(told.event)
        if sighting != Sent(told.event, output.key, told.seq, output.partition, told.offset):
            found.append(f"{output.key}: {told}, sent was {sighting}")
    return found


def _differences(first: Mapping[int, Sent], tables: Tables) -> list[str]:
    counts: dict[str, Stored] = {}
    for one in first.values():
        value, position = counts.get(one.key, (0, -1))
        counts[one.key] = Stored(value + 1, max(position, one.offset))
    seen = {str(event): Stored(1, one.offset) for event, one in first.items()}
    return [*_unequal("counts", counts, tables.counts), *_unequal("seen", seen, tables.seen)]


def _unequal(name: str, model: Mapping[str, Stored], table: Mapping[str, Stored]) -> list[str]:
    return [
        f"table {name}, key {key}: {table.get(key)} instead of {model.get(key)}"
        for key in sorted(model.keys() | table.keys())
        if table.get(key) != model.get(key)
    ]


def _miscounted(first: Mapping[int, Sent], outputs: Iterable[Output]) -> list[str]:
    """Return outputs with a wrong count.

    An event is told of first with the count at its place. A repeat may find the state further on, never behind and
    never beyond what was sent of the key.
    """
    sent = Counter(one.key for one in first.values())
    known: set[int] = set()
    found: list[str] = []
    for output in outputs:
        told = output.told
        highest = sent[output.key] if told.event in known else told.seq
        if not told.seq <= told.count <= highest:
            found.append(f"key {output.key}: event {told.event} was counted {told.count} at its place {told.seq}")
        known.add(told.event)
    return found


def _disorder(outputs: Iterable[Output]) -> list[str]:
    """Return the events of a key that were told of first out of sequence."""
    known: set[int] = set()
    last: defaultdict[str, int] = defaultdict(int)
    found: list[str] = []
    for output in outputs:
        told = output.told
        if told.event in known:
            continue
        known.add(told.event)
        if told.seq <= last[output.key]:
            found.append(f"key {output.key}: {told.seq} was told of after {last[output.key]}")
        last[output.key] = max(told.seq, last[output.key])
    return found
