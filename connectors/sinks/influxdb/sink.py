"""Write points."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple

import structlog

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome, Rejected
from connectors.sinks.errors import Fatal
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.claim import Claim
from connectors.sinks.influxdb.client import REQUESTS, InfluxClient
from connectors.sinks.influxdb.columns import block_of, lines_of
from connectors.sinks.influxdb.errors import OPTION
from connectors.sinks.influxdb.known import Known
from connectors.sinks.influxdb.lines import Point, Unfit, line, place_of, series_key, tombstone_line
from connectors.sinks.influxdb.merge import NOTHING, State, undo_of
from connectors.sinks.influxdb.options import InfluxOptions
from connectors.sinks.influxdb.points import FEW, Line, PointWriter, points_of, states_at
from connectors.sinks.influxdb.subjects import Subjects, subjects_of
from connectors.sinks.influxdb.walking import walk
from connectors.sinks.persons import Purge, delete_of
from connectors.sinks.turns import Turns
from schemas.writes import TimeSeriesWrite

log = structlog.get_logger(__name__)

_HOUR = 3_600
_AT_ONCE = 5_000  # points of a request: InfluxData's advice
_HELD_AT_ONCE = 500  # entities in one pattern


class _Part(NamedTuple):
    """Writes that go in one request. `lines`: that of each place, empty where its write is not in the request."""

    places: range
    body: Sequence[bytes]
    lines: Callable[[], Sequence[bytes]]


class InfluxSink:
    """Points of InfluxDB 2. How versions are kept in a store that cannot compare is said in `merge` and `turns`.

    In most batches every point is new: one question for all of them, and one write for 5,000, while the next lines are
    made. While no other sink writes to the bucket, the question is only whether that is so, and `known` tells the rest.
    A point that is deleted, or loses a field, takes three requests of its own.
    """

    # One sink at a time: what another one writes at the same times would be in the answers to this one's questions.
    limits = Limits(max_records=20_000, max_bytes=8 * 1024 * 1024)

    def __init__(self, options: InfluxOptions) -> None:
        self._options = options
        self._client = InfluxClient(options)
        self._points = PointWriter(self._client)
        self._claim = Claim(self._client)
        self._known = Known()
        self._alone = True  # as far as the last batch told
        self._turns = Turns(f"influxdb {options.url} {options.organisation} {options.bucket}")
        self._series: set[str] = set()
        self._sender = _sender()

    def open(self) -> None:
        """Find or make the bucket, set its retention, learn which series it has, and say who writes if nobody does.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, token, organisation or bucket is wrong; names the option.
        """
        bucket = self._client.bucket()
        wanted = None if self._options.retention_hours is None else self._options.retention_hours * _HOUR
        if bucket is None:
            if not self._options.create_bucket:
                raise Fatal(
                    f"InfluxDB has no bucket {self._options.bucket!r}; make it, or set `{OPTION}.create_bucket`"
                )
            self._client.create_bucket(wanted or 0)
        elif wanted is not None and bucket.retention != wanted:
            log.warning("retention_changed", bucket=self._options.bucket, before_s=bucket.retention, now_s=wanted)
            self._client.set_retention(bucket, wanted)
        self._series = self._client.series()
        refused = self._client.write([b""])  # a write of nothing: needs the right to write, and leaves no trace
        if refused is not None:
            raise Fatal(f"InfluxDB refuses an empty write: {refused.reason}")
        self._claim.begin()

    def write(self, batch: Sequence[TimeSeriesWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: list[Outcome] = [APPLIED] * len(batch)
        subjects = subjects_of(batch)
        for place, reason in subjects.refused.items():
            outcomes[place] = Rejected(reason)
        others: dict[Point, Sequence[int]] = {}
        try:
            self._write(batch, subjects, others, outcomes)
        except BaseException:
            self._known.forget()  # the server may have taken some of it, and may not have
            raise
        self._known.note(batch, subjects, outcomes, others.keys() | subjects.several.keys())
        return outcomes

    def _write(
        self,
        batch: Sequence[TimeSeriesWrite],
        subjects: Subjects,
        others: dict[Point, Sequence[int]],
        outcomes: list[Outcome],
    ) -> None:
        """Apply a batch; note its outcomes, and the points that took more than a line."""
        with self._turns.taken(self._options.request_seconds):
            asked = self._sender.submit(self._states, batch, subjects)
            sending: list[Future[None]] = []
            try:
                for start in range(0, len(batch), _AT_ONCE):
                    places = range(start, min(start + _AT_ONCE, len(batch)))
                    part = self._plain(batch, subjects, places)
                    states = asked.result()
                    if part is None or states or subjects.several:
                        part = self._part(batch, subjects, places, states, others)
                    sending.append(self._sender.submit(self._send, batch, subjects, part, outcomes))
            finally:
                wait([asked])
                wait(sending)
            for one in sending:
                one.result()
            self._apply_others(batch, others | dict(subjects.several), asked.result(), outcomes)

    def _states(self, batch: Sequence[TimeSeriesWrite], subjects: Subjects) -> Mapping[Point, State]:
        """Return what lies at the points of a batch, without those at which a line is all that it takes."""
        before, unknown = self._alone, self._known.unknown(subjects.times)
        asked = set[Point]() if unknown else points_of(self._known.asking(batch, subjects))
        at_once = not unknown and len(asked) <= FEW
        rows = self._claim.renewed(queries.states_of(asked) if at_once else ())
        self._alone = rows is not None
        if rows is None:
            self._known.forget()
            if not before:  # others write as well, and what is learnt is soon forgotten
                return self._points.states(subjects.times)
        elif at_once:
            return states_at(asked, rows)
        unknown = self._known.unknown(subjects.times)
        if unknown:
            newest = queries.newest_times(self._client.ask(queries.newest_of(unknown)))
            self._known.learn(unknown, newest)
        return self._points.states(self._known.asking(batch, subjects))

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the bucket holds; `copies` counts the points that lie there, also one whose removal is due."""
        names = sorted({entity for entity, _ in entities})
        found: defaultdict[str, list[State]] = defaultdict(list)
        for start in range(0, len(names), _HELD_AT_ONCE):
            rows = self._client.ask(queries.holding(names[start : start + _HELD_AT_ONCE]))
            for state in queries.states(rows).values():
                if state.entity is not None:
                    found[state.entity].append(state)
        held: dict[tuple[str, str], Held] = {}
        for entity, source in entities:
            known = [state.latest()[source] for state in found[entity] if source in state.latest()]
            if known:
                newest = max(known)
                copies = sum(state.present for state in found[entity])
                held[entity, source] = Held(version=newest.version, deleted=newest.deleted, copies=copies)
        return held

    def of_user(self, user: str) -> list[TimeSeriesWrite]:
        """Return the points of a person; see `connectors.sinks.persons.Attributing`."""
        found = queries.states(self._client.ask([queries.states_of_person(user)]))
        return [
            delete_of(
                TimeSeriesWrite,
                state.entity,
                source,
                latest.version,
                measurement=point.measurement,
                tags=dict(point.tags),
                time_ns=point.time_ns,
            )
            for point, state in found.items()
            if state.present and state.entity is not None
            for source, latest in state.latest().items()
        ]

    def walk(self) -> Iterator[TimeSeriesWrite]:
        """Yield the points that lie there; see `connectors.sinks.contract.Walking`."""
        yield from walk(self._client)

    def purge(self) -> Purge:
        """Say what the server keeps of deleted points; nothing of its API makes it rewrite its files."""
        return Purge(
            keeps="its log, until `storage-cache-snapshot-write-cold-duration` (10 minutes by default) after the last "
            "write of a shard; its files of points, until `storage-compact-full-write-cold-duration` (4 hours) after it"
        )

    def before(self, writes: Sequence[TimeSeriesWrite]) -> list[TimeSeriesWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`."""
        points: dict[int, Point] = {}
        for place, write in enumerate(writes):
            with suppress(Unfit):
                points[place] = place_of(write)
        states = self._points.states(queries.times_of(points.values()))
        lying = [point for point, state in states.items() if state.visible]
        fields = queries.fields(self._client.ask_typed(queries.fields_of(lying)))
        return [
            undo_of(write, states.get(points[place], NOTHING), fields.get(points[place], {}))
            if place in points
            else None
            for place, write in enumerate(writes)
        ]

    def close(self) -> None:
        """Close the connections; may be called twice."""
        self._sender.shutdown()
        self._sender = _sender()
        self._client.close()

    def _plain(self, batch: Sequence[TimeSeriesWrite], subjects: Subjects, places: range) -> _Part | None:
        """Return the part of some places when all of their lines can be made together, as they nearly always can."""
        keys, writes = subjects.keys[places.start : places.stop], batch[places.start : places.stop]
        fresh = set(keys) - self._series
        if fresh and len(self._series) + len(fresh) > self._options.max_series:
            return None
        block = block_of(keys, writes)
        if block is None:
            return None
        self._series |= fresh
        return _Part(places, [block], lambda: lines_of(keys, writes))

    def _part(
        self,
        batch: Sequence[TimeSeriesWrite],
        subjects: Subjects,
        places: range,
        states: Mapping[Point, State],
        others: dict[Point, Sequence[int]],
    ) -> _Part:
        """Return the part of the points of some places that are new; note the writes that need more than a line."""
        lines = self._lines(subjects.keys[places.start : places.stop], batch[places.start : places.stop])
        for index, place in enumerate(places):
            point = subjects.point(place)
            if point is None or point in subjects.several:
                lines[index] = b""
            elif not lines[index] or point in states:
                lines[index] = b""
                others[point] = [place]
        return _Part(places, [text for text in lines if text], lambda: lines)

    def _lines(self, keys: Sequence[str], writes: Sequence[TimeSeriesWrite]) -> list[bytes]:
        """Return lines, empty where one has to be made by itself."""
        lines = lines_of(keys, writes)
        fresh = {key for key, text in zip(keys, lines, strict=True) if text} - self._series
        if fresh and len(self._series) + len(fresh) > self._options.max_series:
            return [b"" if key in fresh else text for key, text in zip(keys, lines, strict=True)]
        self._series |= fresh
        return lines

    def _send(self, batch: Sequence[TimeSeriesWrite], subjects: Subjects, part: _Part, outcomes: list[Outcome]) -> None:
        """Write the lines of points that are not there, and note which are refused."""
        refusal = self._client.write(part.body) if part.body else None
        if refusal is None:
            return
        sent: dict[Point, int] = {}
        written: list[Line] = []
        for place, text in zip(part.places, part.lines(), strict=True):
            point, write = subjects.point(place), batch[place]
            if text and point is not None:
                sent[point] = place
                written.append(Line(point, text, ((write.source, write.version),)))
        for point, refused in self._points.refused(written, refusal).items():
            outcomes[sent[point]] = Rejected(refused.reason_of(batch[sent[point]]))

    def _apply_others(
        self,
        batch: Sequence[TimeSeriesWrite],
        others: Mapping[Point, Sequence[int]],
        states: Mapping[Point, State],
        outcomes: list[Outcome],
    ) -> None:
        """Apply the writes of points that are there already, have several, or cannot be said column by column."""
        fitting: dict[Point, list[int]] = {}
        for point, places in others.items():
            for place in places:
                try:
                    self._check(point, batch[place])
                except Unfit as error:
                    outcomes[place] = Rejected(str(error))
                else:
                    fitting.setdefault(point, []).append(place)
        names = list(fitting)
        for start in range(0, len(names), _AT_ONCE):
            groups = {point: [batch[place] for place in fitting[point]] for point in names[start : start + _AT_ONCE]}
            for point, found in self._points.apply(groups, states).items():
                for place, outcome in zip(fitting[point], found, strict=True):
                    outcomes[place] = outcome

    def _check(self, point: Point, write: TimeSeriesWrite) -> None:
        """Return when a write can be said, and note its series.

        Raises:
            Unfit: it cannot, or it makes one series too many.
        """
        if write.op == "delete":
            tombstone_line(point, entity=write.entity, versions={write.source: (write.version, True)})
            return
        key = series_key(point.measurement, point.tags)
        if key not in self._series and len(self._series) >= self._options.max_series:
            raise Unfit(f"`tags` make a new series, and the bucket has {len(self._series):,} (`{OPTION}.max_series`)")
        line(point, entity=write.entity, versions={write.source: write.version}, fields=write.fields)
        self._series.add(key)


def _sender() -> ThreadPoolExecutor:
    """Return the threads of requests, which begin with the first ones; those of a batch are of other points each."""
    return ThreadPoolExecutor(REQUESTS, thread_name_prefix="influxdb")
