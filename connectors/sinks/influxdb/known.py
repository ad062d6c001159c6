"""What a sink knows of points without asking for them, while nobody else writes to the bucket. Pure.

Of each series it knows a time behind which nothing lies but what it has written itself since. Tracks grow at their end,
so nearly all of their points come behind that time, and nothing has to be asked for them. Which of them it wrote, it
remembers as far as there is room.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome
from connectors.sinks.influxdb.lines import EARLIEST, Point, Series
from connectors.sinks.influxdb.queries import Times
from connectors.sinks.influxdb.subjects import Subjects
from schemas.writes import TimeSeriesWrite

POINTS = 100_000  # that are remembered one by one: some 30 MB
SERIES = 20_000
FEW = 2_000  # writes of a batch that are remembered one by one though they lengthen their track: phones send again

BEFORE_ALL = EARLIEST - 1


class Wrote(NamedTuple):
    """The line of a point as this sink wrote it: all that lies there."""

    entity: str
    source: str
    version: int
    names: Collection[str]

    def gives_way_to(self, write: TimeSeriesWrite) -> bool:
        """Whether a line is all that a write takes: it is newer, and leaves none of the fields behind."""
        return (
            write.op == "upsert"
            and (write.entity, write.source) == (self.entity, self.source)
            and write.version > self.version
            and write.fields.keys() >= set(self.names)
        )


class _Track(Struct):
    """What is known of a series: nothing lies behind `floor` but at the times of `points`, of which None is unsure."""

    floor: int
    newest: int
    points: dict[int, Wrote | None] = field(default_factory=dict[int, Wrote | None])


class Known:
    """What lies in the series of a bucket.

    Args:
        points: how many are remembered one by one, at most.
        series: of how many series something is known, at most.
    """

    def __init__(self, points: int = POINTS, series: int = SERIES) -> None:
        self._most, self._most_series = points, series
        self._tracks: dict[Series, _Track] = {}
        self._count = 0

    def forget(self) -> None:
        """Know nothing: somebody else has written, or nobody knows what a request did."""
        self._tracks.clear()
        self._count = 0

    def unknown(self, series: Iterable[Series]) -> list[Series]:
        """Return those of some series of which nothing is known."""
        return [one for one in series if one not in self._tracks]

    def learn(self, series: Iterable[Series], newest: Mapping[Series, int]) -> None:
        """Note what was asked of series: the times of their last points and tombstones; others have none."""
        for one in series:
            last = newest.get(one, BEFORE_ALL)
            self._tracks[one] = _Track(last, last)
        if len(self._tracks) > self._most_series:
            self.forget()

    def asking(self, batch: Sequence[TimeSeriesWrite], subjects: Subjects) -> Times:
        """Return the times of points that have to be asked for; at all others a line is enough."""
        if any(write.repair for write in batch):  # what lies there may not be what was written
            return subjects.times
        asking: dict[Series, Sequence[int]] = {}
        unsure: set[Series] = set()
        for series, times in subjects.times.items():
            track = self._tracks.get(series)
            if track is None:
                asking[series] = times
            elif min(times) <= track.newest:
                unsure.add(series)
        found: dict[Series, list[int]] = {}
        if unsure:
            for write, key, moment in zip(batch, subjects.keys, subjects.moments, strict=True):
                series = subjects.series.get(key)
                if series is not None and series in unsure and self._needs_asking(series, write, moment):
                    found.setdefault(series, []).append(moment)
        for point in subjects.several:
            found.setdefault(Series(*point[:2]), []).append(point.time_ns)
        return asking | {series: times for series, times in found.items() if series not in asking}

    def note(
        self,
        batch: Sequence[TimeSeriesWrite],
        subjects: Subjects,
        outcomes: Sequence[Outcome],
        others: Collection[Point],
    ) -> None:
        """Note what a batch did.

        Args:
            batch: that was applied.
            subjects: of its writes.
            outcomes: of its writes.
            others: the points that took more than a line.
        """
        if len(batch) > FEW and self._lengthened(subjects.times):
            return
        for write, key, moment, outcome in zip(batch, subjects.keys, subjects.moments, outcomes, strict=True):
            track = self._tracks.get(subjects.series[key]) if key else None
            if track is None or moment <= track.floor:
                continue
            if outcome == SUPERSEDED and moment in track.points:  # which changed nothing
                continue
            plain = outcome == APPLIED and write.op == "upsert" and Point(*subjects.series[key], moment) not in others
            self._count += moment not in track.points
            track.newest = max(track.newest, moment)
            track.points[moment] = (
                Wrote(write.entity, write.source, write.version, tuple(write.fields)) if plain else None
            )
        if self._count > self._most:
            self._make_room()

    def _needs_asking(self, series: Series, write: TimeSeriesWrite, moment: int) -> bool:
        track = self._tracks[series]
        if moment <= track.floor:
            return True
        if moment not in track.points:
            return False
        wrote = track.points[moment]
        return wrote is None or not wrote.gives_way_to(write)

    def _lengthened(self, times: Times) -> bool:
        """Forget the points of series that were lengthened in order; return whether that was so of all."""
        all_of_them = True
        for series, some in times.items():
            track = self._tracks.get(series)
            if track is None:
                continue
            if some[0] > track.newest and list(some) == sorted(some):
                self._count -= len(track.points)
                track.points = {}
                track.floor = track.newest = some[-1]
            else:
                all_of_them = False
        return all_of_them

    def _make_room(self) -> None:
        """Forget the older half of the points of each series."""
        for track in self._tracks.values():
            times = sorted(track.points)
            older = times[: (len(times) + 1) // 2]
            if older:
                track.floor = older[-1]
                for time_ns in older:
                    del track.points[time_ns]
        self._count = sum(len(track.points) for track in self._tracks.values())
