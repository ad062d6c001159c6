"""Write points."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import structlog

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome, Rejected
from connectors.sinks.errors import Fatal
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.errors import OPTION, Refusal
from connectors.sinks.influxdb.lines import Point, Unfit, line, point_of, series_key, tombstone_line
from connectors.sinks.influxdb.merge import NOTHING, Change, State, changed, undo_of, without_stale_fields
from connectors.sinks.influxdb.options import InfluxOptions
from connectors.sinks.persons import delete_of
from connectors.sinks.turns import Turns
from schemas.writes import TimeSeriesWrite

log = structlog.get_logger(__name__)

_HOUR = 3_600
_AT_ONCE = 5_000  # points of a request: InfluxData's advice
_HELD_AT_ONCE = 500  # entities in one pattern


class _Line(NamedTuple):
    """A line, and the versions by source that are at its point once it is there."""

    point: Point
    text: bytes
    versions: tuple[tuple[str, int], ...]

    def lies(self, state: State) -> bool:
        """Whether the line has arrived."""
        return all(state.live.get(source) == version for source, version in self.versions)


class _Rendered(NamedTuple):
    """A write that fits: where it stands in the batch, and for an upsert its line, when nothing lies at its point."""

    place: int
    write: TimeSeriesWrite
    point: Point
    text: bytes

    def lies(self, state: State) -> bool:
        """Whether the line has arrived."""
        return state.live.get(self.write.source) == self.write.version


class _Points(NamedTuple):
    """The writes of some points: of those that have one, and of those that have several, in order."""

    single: dict[Point, _Rendered]
    several: dict[Point, list[_Rendered]]


class InfluxSink:
    """Points of InfluxDB 2. How versions are kept in a store that cannot compare is said in `merge` and `turns`.

    In most batches every point is new: one question and one write for 5,000 of them, while the next lines are made. A
    point that is deleted, or loses a field, takes three requests of its own.
    """

    # One sink at a time: what another one writes at the same times would be in the answers to this one's questions.
    limits = Limits(max_records=20_000, max_bytes=8 * 1024 * 1024)

    def __init__(self, options: InfluxOptions) -> None:
        self._options = options
        self._client = InfluxClient(options)
        self._turns = Turns(f"influxdb {options.url} {options.organisation} {options.bucket}")
        self._series: set[str] = set()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="influxdb")  # its thread begins with the first write

    def open(self) -> None:
        """Find or make the bucket, set its retention, and learn which series it has.

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
        self._series = self._client.series(self._options.max_series)
        refused = self._client.write([b""])  # a write of nothing: needs the right to write, and leaves no trace
        if refused is not None:
            raise Fatal(f"InfluxDB refuses an empty write: {refused.reason}")

    def write(self, batch: Sequence[TimeSeriesWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: list[Outcome] = [APPLIED] * len(batch)
        sending: Future[None] | None = None
        with self._turns.taken(self._options.request_seconds):
            try:
                for start in range(0, len(batch), _AT_ONCE):
                    points = self._points(batch, range(start, min(start + _AT_ONCE, len(batch))), outcomes)
                    if sending is not None:
                        sending.result()
                    sending = self._sender.submit(self._apply, points, outcomes)
            finally:
                if sending is not None:
                    sending.result()
        return outcomes

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

    def before(self, writes: Sequence[TimeSeriesWrite]) -> list[TimeSeriesWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`."""
        points: dict[int, Point] = {}
        for place, write in enumerate(writes):
            with suppress(Unfit):
                point = point_of(write)
                series_key(point.measurement, point.tags)  # what it refuses could not be asked for
                points[place] = point
        states = self._states(list(dict.fromkeys(points.values())))
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
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="influxdb")
        self._client.close()

    def _points(self, batch: Sequence[TimeSeriesWrite], places: range, outcomes: list[Outcome]) -> _Points:
        """Return the points that some writes are about, and note the writes that cannot be said."""
        single: dict[Point, _Rendered] = {}
        several: dict[Point, list[_Rendered]] = {}
        for place in places:
            write = batch[place]
            try:
                point = point_of(write)
                rendered = _Rendered(place, write, point, self._rendered(point, write))
            except Unfit as error:
                outcomes[place] = Rejected(str(error))
                continue
            if point in several:
                several[point].append(rendered)
            elif point in single:
                several[point] = [single.pop(point), rendered]
            else:
                single[point] = rendered
        return _Points(single, several)

    def _rendered(self, point: Point, write: TimeSeriesWrite) -> bytes:
        if write.op == "delete":
            tombstone_line(point, entity=write.entity, versions={write.source: (write.version, True)})
            return b""
        key = series_key(point.measurement, point.tags)
        if key not in self._series and len(self._series) >= self._options.max_series:
            raise Unfit(f"`tags` make a new series, and the bucket has {len(self._series):,} (`{OPTION}.max_series`)")
        rendered = line(point, entity=write.entity, versions={write.source: write.version}, fields=write.fields)
        self._series.add(key)
        return rendered

    def _apply(self, points: _Points, outcomes: list[Outcome]) -> None:
        """Bring points to what their writes say, and note the outcomes."""
        states = self._states([*points.single, *points.several])
        lines: list[_Line | _Rendered] = []
        groups: dict[Point, list[_Rendered]] = dict(points.several)
        for point, rendered in points.single.items():
            if rendered.text and (not states or point not in states):
                lines.append(rendered)  # what `changed` would say as well, of nearly every point
                outcomes[rendered.place] = APPLIED
            else:
                groups[point] = [rendered]
        changes = {
            point: changed(states.get(point, NOTHING), [one.write for one in group]) for point, group in groups.items()
        }
        over = [point for point, change in changes.items() if _overwrites(change, states.get(point, NOTHING))]
        if over:
            fields = queries.fields(self._client.ask(queries.fields_of(over)))
            for point in over:
                changes[point] = without_stale_fields(changes[point], states[point], fields.get(point, ()))
        refused = self._try(changes)
        going = {point: change for point, change in changes.items() if point not in refused}
        self._bury(going)
        lines += [_line_of(point, change) for point, change in going.items() if change.content is not None]
        refused |= self._send(lines)
        for point, change in changes.items():
            for one, outcome in zip(groups[point], change.outcomes, strict=True):
                outcomes[one.place] = outcome
        for point, refusal in refused.items():
            group = groups.get(point) or [points.single[point]]
            if len(group) == 1:
                outcomes[group[0].place] = Rejected(refusal.reason_of(group[0].write))
                continue
            for one in group:  # which of them was refused is seen when each goes by itself
                self._apply(_Points({point: one}, {}), outcomes)

    def _states(self, points: Sequence[Point]) -> dict[Point, State]:
        there = queries.points(self._client.ask(queries.present_at(points))).intersection(points)
        return queries.states(self._client.ask(queries.states_of(there))) if there else {}

    def _try(self, changes: Mapping[Point, Change]) -> dict[Point, Refusal]:
        """Return what is refused of the content that shall take the place of something, which must not go for it.

        A trial adds the new fields without a version, so to readers and to a repetition the point is what it was.
        """
        refused: dict[Point, Refusal] = {}
        for point, change in changes.items():
            if change.remove and change.content is not None:
                content = change.content
                trial = line(point, entity=content.entity, versions={}, fields=content.fields)
                refusal = self._client.write([trial])
                if refusal is not None:
                    refused[point] = refusal
        return refused

    def _bury(self, changes: Mapping[Point, Change]) -> None:
        tombstones = [
            tombstone_line(point, entity=change.entity, versions=change.bury)
            for point, change in changes.items()
            if change.bury
        ]
        if tombstones:
            refusal = self._client.write(tombstones)
            # Some of them can only be refused for their time: older than the retention, as what they would bury.
            if refusal is not None and not refusal.partial:
                raise Fatal(f"InfluxDB refuses tombstones: {refusal.reason}")
        for point, change in changes.items():
            if change.remove:
                self._client.delete(queries.removal(point))

    def _send(self, lines: Sequence[_Line | _Rendered]) -> dict[Point, Refusal]:
        """Write lines and return the points of those that were refused."""
        if not lines:
            return {}
        refusal = self._client.write([one.text for one in lines])
        if refusal is None:
            return {}
        if refusal.partial:
            # The server says how many it refused and not which. They are those that are not there.
            states = queries.states(self._client.ask(queries.states_of(one.point for one in lines)))
            return {one.point: refusal for one in lines if not one.lies(states.get(one.point, NOTHING))}
        if len(lines) == 1:
            return {lines[0].point: refusal}
        middle = len(lines) // 2
        return self._send(lines[:middle]) | self._send(lines[middle:])


def _line_of(point: Point, change: Change) -> _Line:
    content = change.content
    assert content is not None
    text = line(point, entity=content.entity, versions=change.versions, fields=content.fields)
    return _Line(point, text, tuple(change.versions.items()))


def _overwrites(change: Change, state: State) -> bool:
    return change.content is not None and state.present
