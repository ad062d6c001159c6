"""Stay points and trip segments, found while the fixes arrive.

A stay point is that of Li et al., "Mining User Similarity Based on Location History" (ACM GIS 2008): a run of fixes
within a distance of its first one that lasts at least a given time. Their algorithm goes back to the fix after the
first one whenever a run breaks too early; for that the fixes of the pending run are kept here as marks. At most 16, of
which neighbours are then merged, so that a run of more fixes may begin a little beside where theirs would.
"""

from itertools import pairwise

from streams.enrichment.geo import EARTH_RADIUS_M, RADIANS, distance_m, longitude
from streams.enrichment.track import Fix, Leg, Mark, Segment, Stay

MAX_MARKS = 16
_METRES_PER_DEGREE = EARTH_RADIUS_M * RADIANS


def within(a: Fix, b: Fix, metres: float) -> bool:
    """Return whether two fixes are at most so far apart."""
    if abs(a.lat - b.lat) * _METRES_PER_DEGREE > metres:  # no great circle is shorter than its latitudes are apart
        return False
    return distance_m(a.lat, a.lon, b.lat, b.lon) <= metres


def pending(marks: tuple[Mark, ...], metres: float) -> tuple[Mark, ...]:
    """Return the marks from the first one that has all later ones within `metres`.

    Args:
        marks: all but the newest are within `metres` of the first.
        metres: the radius of a stay.
    """
    newest = marks[-1].fix
    if within(marks[0].fix, newest, metres):
        return marks
    for first in range(1, len(marks)):
        fix = marks[first].fix
        if within(fix, newest, metres) and all(within(fix, mark.fix, metres) for mark in marks[first + 1 : -1]):
            return marks[first:]
    return marks[-1:]


def thinned(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Return at most MAX_MARKS: of one more, two neighbours become one, the newest excepted.

    They are the last two while these are closer in time than the average, which is cheap to see, else the closest two.
    """
    if len(marks) <= MAX_MARKS:
        return marks
    if (marks[-2].fix.ms - marks[-3].fix.ms) * MAX_MARKS <= marks[-1].fix.ms - marks[0].fix.ms:
        return (*marks[:-3], merged(marks[-3], marks[-2]), marks[-1])
    pauses = [later.fix.ms - earlier.fix.ms for earlier, later in pairwise(marks[:-1])]
    at = pauses.index(min(pauses)) + 1
    return (*marks[: at - 1], merged(marks[at - 1], marks[at]), *marks[at + 1 :])


def merged(first: Mark, second: Mark) -> Mark:
    """Return the first mark with the fixes of the second counted in."""
    north = second.fix.lat - first.fix.lat
    east = longitude(second.fix.lon - first.fix.lon)
    return Mark(
        first.fix,
        first.fixes + second.fixes,
        first.north + second.north + north * second.fixes,
        first.east + second.east + east * second.fixes,
        first.leg_fixes,
        first.leg_metres,
        first.leg_top_mps,
    )


def stay(user_id: str, mark: Mark, last: Fix) -> Stay:
    """Return the stay that began at a mark, all its fixes merged into it, and whose last fix is `last`."""
    return Stay(
        id=f"{user_id}:{mark.fix.ms}",
        user_id=user_id,
        arrived=mark.fix.time,
        left=last.time,
        lat=mark.fix.lat + mark.north / mark.fixes,
        lon=longitude(mark.fix.lon + mark.east / mark.fixes),
        fixes=mark.fixes,
    )


def segment(user_id: str, leg: Leg, end: Fix) -> Segment | None:
    """Return the segment that a leg is when it ends at `end`; None when it ends where it began."""
    if end.ms <= leg.start.ms:
        return None
    return Segment(
        id=f"{user_id}:{leg.start.ms}",
        user_id=user_id,
        started=leg.start.time,
        ended=end.time,
        start_lat=leg.start.lat,
        start_lon=leg.start.lon,
        end_lat=end.lat,
        end_lon=end.lon,
        distance_m=leg.metres,
        mean_speed_mps=leg.metres / ((end.ms - leg.start.ms) / 1_000),
        max_speed_mps=leg.top_mps,
        fixes=leg.fixes,
    )


def segment_to(user_id: str, leg: Leg | None, mark: Mark) -> Segment | None:
    """Return the segment of a leg that came to rest at a mark; None when the traveller was at rest there before it."""
    if leg is None or mark.fix.ms <= leg.start.ms:
        return None
    return segment(user_id, Leg(leg.start, mark.leg_fixes, mark.leg_metres, mark.leg_top_mps), mark.fix)
