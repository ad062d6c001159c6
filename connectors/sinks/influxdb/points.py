"""Bring points to what their writes say: trial, tombstone, removal, line."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from connectors.sinks.contract import Outcome, Rejected
from connectors.sinks.errors import Fatal
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.errors import Refusal
from connectors.sinks.influxdb.lines import Point, line, tombstone_line
from connectors.sinks.influxdb.merge import NOTHING, Change, State, changed, unless_other, without_stale_fields
from schemas.writes import TimeSeriesWrite

FEW = 32  # points whose versions are asked for at once: of more, mostly none is there, and that is cheaper to ask


def points_of(times: queries.Times) -> set[Point]:
    """Return the points of series at times."""
    return {Point(*series, time_ns) for series, some in times.items() for time_ns in some}


def states_at(points: Collection[Point], rows: queries.Answer) -> dict[Point, State]:
    """Return what answers say of these points and of no others."""
    return {point: state for point, state in queries.states(rows).items() if point in points}


class Line(NamedTuple):
    """A line, and the versions by source that are at its point once it is there."""

    point: Point
    text: bytes
    versions: tuple[tuple[str, int], ...]

    def lies(self, state: State) -> bool:
        """Whether the line has arrived."""
        return all(state.live.get(source) == version for source, version in self.versions)


class PointWriter:
    """Asks for points and writes them through one client. Nobody else may write them meanwhile."""

    def __init__(self, client: InfluxClient) -> None:
        self._client = client

    def states(self, times: queries.Times) -> dict[Point, State]:
        """Return what lies at these points; those at which nothing lies are left out.

        Raises:
            Unavailable: no answer.
        """
        asked = points_of(times)
        if len(asked) <= FEW:
            return states_at(asked, self._client.ask(queries.states_of(asked)))
        there = asked & queries.points(self._client.ask(queries.present_at(times)))
        return queries.states(self._client.ask(queries.states_of(there))) if there else {}

    def apply(
        self, groups: Mapping[Point, Sequence[TimeSeriesWrite]], states: Mapping[Point, State]
    ) -> dict[Point, list[Outcome]]:
        """Apply writes, some in order at each point, and return their outcomes.

        Args:
            groups: the writes, which `line` and `tombstone_line` take.
            states: what lies at the points now.

        Raises:
            Unavailable: nothing is known of any of them.
            Fatal: the server refuses to remember what is deleted.
        """
        changes = {point: changed(states.get(point, NOTHING), writes) for point, writes in groups.items()}
        over = [point for point, change in changes.items() if _overwrites(change, states.get(point, NOTHING))]
        if over:
            fields = queries.fields(self._client.ask(queries.fields_of(over)))
            for point in over:
                changes[point] = without_stale_fields(changes[point], states[point], fields.get(point, ()))
        again = [point for point, change in changes.items() if change.again]
        if again:
            there = queries.fields(self._client.ask_typed(queries.fields_of(again)))
            changes |= {point: unless_other(changes[point], there.get(point, {})) for point in again}
        refused = self._try(changes)
        going = {point: change for point, change in changes.items() if point not in refused}
        self._bury(going)
        refused |= self.send([_line_of(point, change) for point, change in going.items() if change.content is not None])
        outcomes = {point: list(change.outcomes) for point, change in changes.items()}
        for point, refusal in refused.items():
            writes = groups[point]
            if len(writes) == 1:
                outcomes[point] = [Rejected(refusal.reason_of(writes[0]))]
            else:  # which of them was refused is seen when each goes by itself
                outcomes[point] = [
                    self.apply({point: [one]}, self.states(queries.times_of([point])))[point][0] for one in writes
                ]
        return outcomes

    def send(self, lines: Sequence[Line]) -> dict[Point, Refusal]:
        """Write lines and return the points of those that were refused.

        Raises:
            Unavailable: nothing is known of any of them.
        """
        if not lines:
            return {}
        refusal = self._client.write([one.text for one in lines])
        return {} if refusal is None else self.refused(lines, refusal)

    def refused(self, lines: Iterable[Line], refusal: Refusal) -> dict[Point, Refusal]:
        """Return the points of the lines that were refused, of a request that was, wholly or in part."""
        lines = list(lines)
        if refusal.partial:
            # The server says how many it refused and not which. They are those that are not there.
            states = queries.states(self._client.ask(queries.states_of(one.point for one in lines)))
            return {one.point: refusal for one in lines if not one.lies(states.get(one.point, NOTHING))}
        if len(lines) == 1:
            return {lines[0].point: refusal}
        middle = len(lines) // 2
        return self.send(lines[:middle]) | self.send(lines[middle:])

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


def _line_of(point: Point, change: Change) -> Line:
    content = change.content
    assert content is not None
    text = line(point, entity=content.entity, versions=change.versions, fields=content.fields)
    return Line(point, text, tuple(change.versions.items()))


def _overwrites(change: Change, state: State) -> bool:
    return change.content is not None and state.present and not change.again
