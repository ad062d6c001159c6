"""What the stores must hold, computed from the records that went in. Pure: the stages themselves, without Kafka.

The model runs all records of a topic-partition in order through the same stages as the workers do, at once and without
any crash, and folds the writes by version. Whatever the workers went through, the stores must end up the same.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from schemas.conflicts import EntityClaim
from schemas.events import SealedEvent
from schemas.reasons import shortened
from schemas.reference import Place
from schemas.wire import Unframe
from schemas.writes import BaseWrite, StoreName, Write, store_of
from streams.agents.changes import decode
from streams.agents.intake import Intake, IntakeRules, intake
from streams.enrichment.joins import Accepted, enrich
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState
from streams.routing.changes import PLACES, RowChange, history, reference_of, route_change
from streams.routing.meaning import Embedded, Vector, image_of, text_of
from streams.routing.table import route
from streams.runtime.records import Record
from streams.verify.agreement import Position, Settled

Key = tuple[StoreName, str, str]  # store, entity, source

_SOME_VECTOR = Vector(b"", "")  # that there is a vector matters here, not which


class Expected(Struct):
    """What must be found.

    `newest` is the write that decides on each entity. `timely` are entities whose existence depends on which place was
    known at which moment (routes between places): held or not, both are right. `unplaced` are ids of events about a
    place that is not there at the end: they may still wait for it.
    """

    newest: dict[Key, BaseWrite] = {}
    timely: set[Key] = set()
    unplaced: set[str] = set()
    letters: dict[Position, str] = {}
    duplicates: int = 0
    events: int = 0
    changes: int = 0

    def add(self, writes: Iterable[Write]) -> None:
        """Fold writes in: of one entity and source, the newest stays."""
        for write in writes:
            key = (store_of(write), write.entity, write.source)
            known = self.newest.get(key)
            if known is None or write.version > known.version:
                self.newest[key] = write
            if key[0] == "graph" and write.entity.startswith("ROUTE:"):
                self.timely.add(key)


def expect(
    events: Sequence[Record],
    changes: Sequence[Record],
    *,
    rules: IntakeRules,
    unframe: Unframe,
    gps: GpsRules,
    nearest_metres: float,
    settled: Settled | None = None,
) -> Expected:
    """Return what follows from records of the topics of events and of changes.

    Records may be given in any order; each topic-partition's are taken by offset.

    Args:
        events: of the topics of events.
        changes: of those of changes.
        rules: of intake.
        unframe: reads framed values.
        gps: how fixes become tracks.
        nearest_metres: how far a place may be from where somebody stays.
        settled: what was said where types are settled: of those what was agreed must be found.

    Raises:
        ValueError: an event is sealed as a whole.
    """
    expected = Expected()
    places = PlaceIndex(nearest_metres)
    present = _add_changes(sorted(changes, key=position_of), expected, places, unframe, settled)
    seen = _Seen()
    travellers: dict[str, TravellerState] = {}
    for batch in _by_partition(events):
        checked = intake(batch, seen=seen, rules=rules, unframe=unframe)
        _add_events(checked, expected, places, travellers, gps)
        expected.unplaced |= {
            one.event.event_id
            for one in checked.admitted
            if (place_id := getattr(one.event, "place_id", None)) is not None and place_id not in present
        }
    return expected


def _add_changes(
    records: Sequence[Record],
    expected: Expected,
    places: PlaceIndex,
    unframe: Unframe,
    settled: Settled | None,
) -> set[str]:
    """Fold changes in; `places` gets all there ever were. Return the ids of those that are there at the end."""
    decoded = decode(records, unframe)
    expected.changes += len(decoded.changes)
    expected.letters |= {position_of(one.record): shortened(str(one.error)) for one in decoded.refused}
    holding: list[RowChange] = []
    claims: list[EntityClaim] = []
    for change in decoded.changes:
        claim = None if settled is None else settled.rules.claim_of(change)
        if claim is None:
            holding.append(change)
        else:
            claims.append(claim)
            expected.add([history(change)])
    if settled is not None:
        agreed, refused = settled.agreed(claims)
        holding += agreed
        expected.letters |= refused
    present: set[str] = set()
    for change in holding:
        expected.add(route_change(change, _SOME_VECTOR if change.listing is not None else None))
        known = reference_of(change)
        if isinstance(known, Place):
            places.upsert(known)
            present.add(known.id)
        elif change.table in PLACES and change.deleted:
            present.discard(change.row_id)
    return present


def _add_events(
    checked: Intake,
    expected: Expected,
    places: PlaceIndex,
    travellers: dict[str, TravellerState],
    gps: GpsRules,
) -> None:
    expected.events += len(checked.admitted)
    expected.duplicates += checked.duplicates
    expected.letters |= {position_of(one.record): shortened(str(one.error)) for one in checked.refused}
    plain = [one.event for one in checked.admitted if not isinstance(one.event, SealedEvent)]
    if len(plain) < len(checked.admitted):
        raise ValueError("an event is sealed as a whole: what follows from it cannot be told without its user's key")
    joined = enrich(
        [Accepted(event, resumed=True) for event in plain],
        places=places,
        profiles=lambda _: None,
        travellers=travellers,
        rules=gps,
    )
    for one in joined.enriched:
        has_meaning = text_of(one.event) is not None or image_of(one.event) is not None
        expected.add(route(Embedded(one, _SOME_VECTOR if has_meaning else None)))


class _Seen:
    """The table of event ids, in memory."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, Record]] = {}

    def get(self, key: str, /) -> int | None:
        found = self._first.get(key)
        return None if found is None else found[0]

    def position(self, key: str, topic: str, /) -> int:
        found = self._first.get(key)
        return found[1].offset if found is not None and found[1].topic == topic else -1

    def put(self, key: str, value: int, record: Record, /) -> None:
        self._first[key] = (value, record)


def _by_partition(records: Iterable[Record]) -> list[list[Record]]:
    batches: dict[tuple[str, int], list[Record]] = {}
    for record in sorted(records, key=position_of):
        batches.setdefault((record.topic, record.partition), []).append(record)
    return list(batches.values())


def position_of(record: Record) -> Position:
    """Return where a record lies."""
    return (record.topic, record.partition, record.offset)
