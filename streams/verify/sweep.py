"""Go through what a store should hold and what it does hold, and find every difference."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, cast

import msgspec
import structlog
from msgspec import Struct

from connectors.sinks.content import stored
from connectors.sinks.contract import Held, Sink, Telling, Undoing, Walking
from schemas.writes import BaseWrite, StoreName, Write
from streams.delivery.opening import Opening
from streams.delivery.token_bucket import TokenBucket
from streams.verify.expectations import Expectations
from streams.verify.history import Writes
from streams.verify.judge import judge, unreadable
from streams.verify.lines import Finding, Home, Line

PAGE = 500
# Contents of objects are asked for whole; these many are in memory at a time.
PAGES: dict[StoreName, int] = {"objects": 50}
LOOK_SECONDS = 0.2
LOOKS = 3  # at what is written again and again while it is looked at


# What reading something raises that is not what the store once wrote. Sinks tell of the store itself by `SinkError`.
_BROKEN = (ValueError, TypeError, LookupError, OSError, msgspec.MsgspecError)

log = structlog.get_logger(__name__)
encode = msgspec.msgpack.Encoder().encode


class _Unreadable(Struct, frozen=True):
    """Stands for a content that somebody has made unreadable."""


class StoreReport(Struct, kw_only=True):
    """What was found in one store.

    Attributes:
        store: its name.
        entities: how many have writes that are known.
        compared: how many of them were compared; those that are under way are not.
        under_way: how many have writes that may not have come to the store yet.
        rejected: writes that became dead letters, which the store is not to hold.
        unaccounted: what it holds and no write tells of, where not all writes are known.
        known_from: of topics and partitions of which the beginning is not known, as "topic/partition", the first offset
            that is. An entity that was written before it only, and removed from the store, is not missed.
        contents: whether it can tell contents; else versions were compared only.
        extras: whether it was gone through for what nobody has written.
        findings: what is wrong.
        repaired: what was wrong and is not any more, since its writes were sent again.
        left_alone: of the findings, those that a repair does not touch, see `repairs.can_be_repaired`.
        seconds: how long it took.
        failed: why it could not be done.
    """

    store: StoreName
    entities: int = 0
    compared: int = 0
    under_way: int = 0
    rejected: int = 0
    unaccounted: int = 0
    known_from: dict[str, int] = {}
    contents: bool = True
    extras: bool = True
    findings: list[Finding] = []
    repaired: list[Finding] = []
    left_alone: int = 0
    seconds: float = 0.0
    failed: str | None = None

    @property
    def agreement(self) -> float:
        """The share of the compared entities that are as they should be."""
        wrong = len({one.entity for one in self.findings})
        return 1.0 if not self.compared else max(0.0, 1 - wrong / self.compared)


class StoreSweep:
    """The sweep of one store. What looks wrong is looked at again, once the deliveries have come to where Kafka is now.

    Args:
        store: which one.
        sink: the store, open.
        writes: those of the store.
        share: of the entities, 0 to 1.
        opening: opens the contents of sealed writes.
        rate: most entities a second; 0: no limit.
        patience: seconds that deliveries are waited for before the second look.
        now: a clock in seconds that is never set back.
        pause: waits some seconds.
    """

    def __init__(
        self,
        store: StoreName,
        sink: Sink[Any],
        writes: Writes,
        *,
        share: float = 1.0,
        opening: Opening | None = None,
        rate: float = 0.0,
        patience: float = 30.0,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store: StoreName = store
        self.expected = Expectations(store, share, opening)
        self.surplus: dict[str, Write] = {}  # deletes of what the store holds and nobody has written
        self._sink = sink
        self._lacking: dict[Home, int] = {}  # partitions of which the beginning is not known
        self._tells = isinstance(sink, Telling | Undoing)
        self._writes = writes
        self._bucket = TokenBucket(rate, 1.0, now()) if rate else None
        self._patience = patience
        self._now = now
        self._pause = pause

    def run(self) -> StoreReport:
        """Compare everything.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the store, or the archive, does not answer.
            ArchiveError: an object of the archive cannot be read.
        """
        started = self._now()
        report = StoreReport(store=self.store, findings=[])
        report.contents = self._tells
        report.extras = isinstance(self._sink, Walking)
        self._read()
        report.known_from = {f"{topic}/{number}": one for (topic, number), one in sorted(self._lacking.items())}
        suspects = {one.entity for one in self._compare(self.expected.entities(self._size), report)}
        surplus = self._surplus()
        report.unaccounted = 0 if self.expected.complete else len(surplus)
        if suspects or surplus:
            report.findings = self.again(suspects, surplus if self.expected.complete else {})
        report.entities = len(self.expected)
        report.under_way = self.expected.under_way()
        report.rejected = self.expected.rejected()
        report.seconds = self._now() - started
        return report

    def again(self, suspects: Iterable[str], surplus: dict[str, Write]) -> list[Finding]:
        """Look again at some entities, once deliveries have come to where Kafka is now, and return what is wrong.

        An entity of which a write is still under way when the patience has ended is left out. So is one that is written
        between what was read of Kafka and what the store answers, at every look.

        Args:
            suspects: names of entities that writes tell of.
            surplus: deletes of entities that no write tells of.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the store does not answer.
        """
        self._catch_up()
        self.surplus = {}
        told: list[Finding] = []
        named = {*suspects, *surplus}
        for _ in range(LOOKS):
            found = self._look(named, surplus)
            if not found:
                break
            judged = {one.entity: self._expectation(one.entity, surplus) for one in found}
            self._read_on()
            named = {entity for entity, before in judged.items() if self._expectation(entity, surplus) != before}
            told += [one for one in found if one.entity not in named and not self.expected.is_under_way(one.entity)]
        self.surplus = {one.entity: surplus[one.entity] for one in told if not self.expected.knows(one.entity)}
        return told

    def _look(self, named: Set[str], surplus: Mapping[str, Write]) -> list[Finding]:
        known = sorted(entity for entity in named if self.expected.knows(entity))
        findings = self._compare(known[start : start + self._size] for start in range(0, len(known), self._size))
        places = [surplus[entity] for entity in sorted(named - set(known))]
        return findings + [
            Finding(
                store=self.store,
                entity=place.entity,
                source=place.source,
                kind="extra",
                expected=None,
                found=place.version,
                detail="it is there, and nobody has written it",
            )
            for place in places
            if not self.expected.tells_of(place) and self._is_held(place)
        ]

    def _expectation(self, entity: str, surplus: Mapping[str, Write]) -> bytes:
        """Return what an entity is judged by, as bytes: they take less memory."""
        told = entity in surplus and self.expected.tells_of(surplus[entity])
        return encode((self.expected.lines(entity), told))

    @property
    def _size(self) -> int:
        return PAGES.get(self.store, PAGE)

    def _read(self) -> None:
        positions = self._writes.positions()
        self.expected.reject(self._writes.rejected())
        self.expected.take(self._writes.records(), {home: one.done for home, one in positions.items()})
        self._lacking = {home: first for home, first in self._writes.begins().items() if first > 0}
        self.expected.complete = not self._lacking

    def _catch_up(self) -> None:
        """Read what was written meanwhile, and wait until it is delivered, within the patience."""
        ends = {home: one.end for home, one in self._writes.positions().items()}
        deadline = self._now() + self._patience
        while True:
            done = {home: one.done for home, one in self._writes.positions().items()}
            if all(done[home] >= end for home, end in ends.items()) or self._now() > deadline:
                break
            self._pause(LOOK_SECONDS)
        self._read_on()

    def _read_on(self) -> None:
        """Take what was written meanwhile. A write becomes a dead letter before deliveries have come to it."""
        done = {home: one.done for home, one in self._writes.positions().items()}
        self.expected.reject(self._writes.rejected())
        self.expected.take(self._writes.records(), done)
        self.expected.advance(done)

    def _compare(self, pages: Iterable[Sequence[str]], report: StoreReport | None = None) -> list[Finding]:
        findings: list[Finding] = []
        for page in pages:
            settled = [entity for entity in page if not self.expected.is_under_way(entity)]
            self._slow_down(len(settled))
            groups = [group for entity in settled for group in self._groups(entity)]
            findings += self._compare_page(groups)
            if report is not None:
                report.compared += len(settled)
        return findings

    def _groups(self, entity: str) -> Iterator[list[Line]]:
        """Yield the lines that make up one thing in the store: of history each source has a row of its own."""
        lines = self.expected.lines(entity)
        if self.store == "warehouse":
            yield from ([line] for line in lines)
        elif lines:
            yield lines

    def _compare_page(self, groups: Sequence[list[Line]]) -> list[Finding]:
        if not groups:
            return []
        keys = [(line.entity, line.source) for group in groups for line in group]
        held: dict[tuple[str, str], Held] = dict(self._sink.held(keys))
        found = self._stored([group[-1].place for group in groups])
        now_ms = time.time_ns() // 1_000_000
        return [
            finding
            for group, content in zip(groups, found, strict=True)
            for finding in (
                [unreadable(self.store, group[-1])]
                if isinstance(content, _Unreadable)
                else judge(self.store, group, held, content, now_ms=now_ms, tells=self._tells)
            )
        ]

    def _stored(self, places: Sequence[Write]) -> list[Write | _Unreadable | None]:
        """Ask for contents; of those that somebody has made unreadable, one by one."""
        try:
            return list(stored(self._sink, places))
        except _BROKEN as error:
            if len(places) == 1:
                log.warning("content_not_readable", store=self.store, entity=places[0].entity, error=str(error))
                return [_Unreadable()]
        middle = len(places) // 2
        return [*self._stored(places[:middle]), *self._stored(places[middle:])]

    def _surplus(self) -> dict[str, Write]:
        """Return deletes of what the store holds and no write tells of."""
        found: dict[str, Write] = {}
        if not isinstance(self._sink, Walking):
            return found
        for number, place in enumerate(cast("Walking[Write]", self._sink).walk(), 1):
            if number % PAGE == 0:
                self._slow_down(PAGE)
            if self.expected.includes(place.entity) and not self.expected.tells_of(place):
                found[place.entity] = place
        return found

    def _is_held(self, place: Write) -> bool:
        (found,) = self._stored([place])
        return not isinstance(found, BaseWrite) or found.op == "upsert"

    def _slow_down(self, entities: int) -> None:
        if self._bucket is None:
            return
        wait = self._bucket.wait(self._now(), entities)
        if wait > 0:
            self._pause(wait)
        self._bucket.take(self._now(), entities)
