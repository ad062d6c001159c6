"""GPS tracks between the real places, as a telephone records them: noise, gaps, jumps and repeats included."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import cycle, islice, pairwise
from random import Random
from typing import NamedTuple

from schemas.events import GpsUpdate
from streams.demo.geo import Point, distance, heading, moved
from streams.demo.spots import Spot

WALK_BELOW = 1_500.0  # metres; longer ways are driven
STAY = (960.0, 1_300.0)  # seconds; long enough to count as a stay
REPEATED = 0.01  # the share of fixes that the device reports twice


class Fix(NamedTuple):
    """A position at so many seconds after the journey's start. `speed` in metres per second, `course` in degrees."""

    seconds: float
    at: Point
    speed: float
    course: float | None
    accuracy: float


class Stay(NamedTuple):
    """A stay that ended within the journey."""

    spot: Spot
    left_at: datetime
    minutes: int


class Trouble(NamedTuple):
    """What goes wrong on a journey besides noise and repeats."""

    tunnel: bool = False  # no fixes in the middle of a drive
    jump: bool = False  # one fix lies many kilometres away


def recorded(fixes: Iterable[GpsUpdate]) -> list[GpsUpdate]:
    """Return the fixes of a user's own file as they are.

    Their order and times are kept, whenever they were recorded: speeds, stays and days are then those of the file, and
    its owner finds them again under their own dates.
    """
    return list(fixes)


def journey(
    rng: Random,
    user_id: str,
    route: Sequence[Spot],
    *,
    fixes: int,
    ends_at: datetime,
    new_id: Callable[[], str],
    trouble: Trouble = Trouble(),  # noqa: B008 - immutable
) -> tuple[list[GpsUpdate], list[Stay]]:
    """Return `fixes` GPS fixes along a route, and the stays that ended on it.

    Fixes are 1 to 30 s apart and their times never go back; a repeat has the time and place of the fix before it. The
    last fix is at `ends_at`, to the millisecond. A route that is too short is walked again.

    Args:
        rng: the dice.
        user_id: who travels.
        route: at least two spots, next to each other never the same one.
        fixes: how many fixes, repeats included.
        ends_at: time of the last fix.
        new_id: gives out event ids.
        trouble: what goes wrong.
    """
    stops: list[tuple[Spot, float, float]] = []
    track = list(islice(_with_repeats(rng, _track(rng, route, stops, trouble)), fixes))
    if trouble.jump:
        _jump(rng, track)
    ends_at = ends_at.replace(microsecond=ends_at.microsecond // 1_000 * 1_000)
    begun_at = ends_at - timedelta(seconds=round(track[-1].seconds, 3))
    updates = [
        GpsUpdate(
            event_id=new_id(),
            user_id=user_id,
            occurred_at=begun_at + timedelta(seconds=round(fix.seconds, 3)),
            lat=round(fix.at.lat, 6),
            lon=round(fix.at.lon, 6),
            accuracy=round(fix.accuracy, 1),
            speed=round(fix.speed, 2),
            heading=None if fix.course is None else round(fix.course, 1),
        )
        for fix in track
    ]
    stays = [
        Stay(spot, begun_at + timedelta(seconds=until), int((until - since) / 60))
        for spot, since, until in stops
        if until <= track[-1].seconds
    ]
    return updates, stays


def delayed(fixes: list[GpsUpdate], index: int, by: int) -> list[GpsUpdate]:
    """Return the fixes with one of them coming `by` places later than its time says."""
    rest = fixes[:index] + fixes[index + 1 :]
    return [*rest[: index + by], fixes[index], *rest[index + by :]]


def _track(
    rng: Random, route: Sequence[Spot], stops: list[tuple[Spot, float, float]], trouble: Trouble
) -> Iterator[Fix]:
    """Yield fixes without end, and note each stay in `stops` (spot, first and last second) as it begins."""
    seconds = 0.0
    tunnel = trouble.tunnel
    there_and_back = [*route, *reversed(route[1:-1])]
    for start, spot in pairwise(cycle(there_and_back)):
        way = list(_way(rng, seconds, Point(start.lat, start.lon), Point(spot.lat, spot.lon)))
        if tunnel and way[0].speed > 3 and len(way) > 12:
            del way[len(way) // 4 : 3 * len(way) // 4]
            tunnel = False
        yield from way
        arrived = way[-1].seconds
        stay = list(_stay(rng, arrived, arrived + rng.uniform(*STAY), Point(spot.lat, spot.lon)))
        seconds = stay[-1].seconds
        stops.append((spot, arrived, seconds))
        yield from stay


def _way(rng: Random, since: float, start: Point, end: Point) -> Iterator[Fix]:
    """Yield fixes from one point to another, walking or driving, the last one at the end."""
    metres = max(distance(start, end), 1.0)
    walking = metres < WALK_BELOW
    pace = rng.uniform(1.1, 1.6) if walking else rng.uniform(8, 13)
    course = heading(start, end)
    done, seconds = 0.0, since
    while done < metres:
        step = rng.uniform(6, 14) if walking else rng.uniform(2, 7)
        speed = pace * rng.uniform(0.8, 1.2)
        seconds += step
        done = min(done + speed * step, metres)
        on_the_way = Point(
            start.lat + (end.lat - start.lat) * done / metres, start.lon + (end.lon - start.lon) * done / metres
        )
        at = moved(on_the_way, rng.gauss(0, 3), rng.gauss(0, 3))
        yield Fix(seconds, at, speed, (course + rng.gauss(0, 6)) % 360, rng.uniform(3, 10))


def _stay(rng: Random, since: float, until: float, spot: Point) -> Iterator[Fix]:
    """Yield fixes around one point; indoors they are less exact."""
    seconds = since
    while (seconds := seconds + rng.uniform(18, 30)) < until:
        at = moved(spot, rng.gauss(0, 6), rng.gauss(0, 6))
        yield Fix(seconds, at, abs(rng.gauss(0, 0.15)), None, rng.uniform(6, 25))


def _jump(rng: Random, track: list[Fix]) -> None:
    """Put one fix in the middle, which is no repeat and not repeated, many kilometres away."""
    for number in range(max(len(track) // 3, 1), len(track) - 1):
        before, fix, after = track[number - 1 : number + 2]
        if before.seconds < fix.seconds < after.seconds:
            north, east = rng.choice((-1, 1)) * rng.uniform(30_000, 90_000), rng.uniform(-90_000, 90_000)
            track[number] = fix._replace(at=moved(fix.at, north, east))
            return


def _with_repeats(rng: Random, track: Iterator[Fix]) -> Iterator[Fix]:
    for fix in track:
        yield fix
        if rng.random() < REPEATED:
            yield fix
