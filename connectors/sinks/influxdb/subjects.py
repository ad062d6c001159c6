"""What the writes of a batch are about. Pure.

In nearly all batches each write is about a point of its own, and line protocol has words for all of them: that is found
out for all together, and the points themselves are made only where somebody asks for one.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from connectors.sinks.influxdb.lines import EARLIEST, LATEST, Point, Series, Unfit, place_of, series_key, series_of
from connectors.sinks.influxdb.queries import Times
from schemas.writes import TimeSeriesWrite


class Subjects(Struct, frozen=True):
    """What the writes of a batch are about.

    `keys` are their series as they begin a line, each at the place of its write, "" for one that cannot be said, and
    `times` their points by series. `several` are the places, in order, of the writes of points that have more than one;
    `refused` says why of those that cannot be said.
    """

    keys: Sequence[str]
    moments: Sequence[int]
    series: Mapping[str, Series]
    times: Times
    several: Mapping[Point, Sequence[int]]
    refused: Mapping[int, str]

    def point(self, place: int) -> Point | None:
        """Return what the write at a place is about; None where that cannot be said."""
        key = self.keys[place]
        return Point(*self.series[key], self.moments[place]) if key else None


def subjects_of(batch: Sequence[TimeSeriesWrite]) -> Subjects:
    """Return what writes are about."""
    moments = [write.time_ns for write in batch]
    refused: dict[int, str] = {}
    try:
        found = [series_of(write.measurement, tuple(write.tags.items())) for write in batch]
        keys = [key for key, _ in found]
        series = dict(found)
    except Unfit:
        keys, series = _one_by_one(batch, refused)
    if not refused and batch and not EARLIEST <= min(moments) <= max(moments) <= LATEST:
        keys, series = _one_by_one(batch, refused)
    times: defaultdict[str, list[int]] = defaultdict(list)
    for key, moment in zip(keys, moments, strict=True):
        times[key].append(moment)
    times.pop("", None)
    several = _several(keys, moments, series) if len(set(zip(keys, moments, strict=True))) < len(keys) else {}
    return Subjects(keys, moments, series, {series[key]: some for key, some in times.items()}, several, refused)


def _one_by_one(batch: Sequence[TimeSeriesWrite], refused: dict[int, str]) -> tuple[list[str], dict[str, Series]]:
    """Return keys and series of writes, and note which are refused."""
    keys: list[str] = []
    series: dict[str, Series] = {}
    for place, write in enumerate(batch):
        try:
            point = place_of(write)
        except Unfit as error:
            refused[place] = str(error)
            keys.append("")
            continue
        key = series_key(point.measurement, point.tags)
        series[key] = Series(point.measurement, point.tags)
        keys.append(key)
    return keys, series


def _several(keys: Sequence[str], moments: Sequence[int], series: Mapping[str, Series]) -> dict[Point, Sequence[int]]:
    places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, identity in enumerate(zip(keys, moments, strict=True)):
        places[identity].append(place)
    return {Point(*series[key], moment): some for (key, moment), some in places.items() if key and len(some) > 1}
