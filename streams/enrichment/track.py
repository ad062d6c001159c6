"""What is known of a traveller's track: the state kept between fixes, and the facts a fix gives rise to.

Times in the state are milliseconds since 1970, positions degrees (WGS 84), distances metres, speeds metres per second.
The state structs are arrays in msgpack: a new field goes last and has a default.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class GpsRules(Struct, frozen=True, kw_only=True):
    """The limits of the table `enrich` of the options, in its units."""

    h3_resolution: int = 9
    jump_kmh: float = 1_000
    stay_metres: float = 100
    stay_minutes: float = 15
    gap_minutes: float = 60


class Fix(Struct, frozen=True, array_like=True, gc=False):
    """A position at a time."""

    ms: int
    lat: float
    lon: float

    @property
    def time(self) -> datetime:
        """The time, in UTC."""
        return _EPOCH + timedelta(milliseconds=self.ms)


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """A trip segment in progress, up to the last fix."""

    start: Fix
    fixes: int = 1
    metres: float = 0.0
    top_mps: float = 0.0


class Mark(Struct, frozen=True, array_like=True, gc=False):
    """A fix at which a stay may have begun, and the fixes soon after that were merged into it.

    `north` and `east` sum the offsets of the merged fixes from this one, in degrees. `leg_...` are the totals of the
    leg on arrival here: those of its segment, should it end here.
    """

    fix: Fix
    fixes: int = 1
    north: float = 0.0
    east: float = 0.0
    leg_fixes: int = 0
    leg_metres: float = 0.0
    leg_top_mps: float = 0.0


class GpsState(Struct, frozen=True, array_like=True, gc=False):
    """All that is kept of a track: at most 16 marks, however many fixes there were; below 1.5 kB in msgpack.

    The traveller is within the stay radius of the first mark since then. `staying` says that this has lasted long
    enough, and the first mark is then the only one. `suspect` is a fix that was too far away to be believed alone.
    """

    last: Fix
    marks: tuple[Mark, ...]
    staying: bool = False
    leg: Leg | None = None
    suspect: Fix | None = None


class Stay(Struct, frozen=True, gc=False):
    """A finished stay point. `left` is the time of the last fix within the radius; the position is the mean of all."""

    id: str
    user_id: str
    arrived: datetime
    left: datetime
    lat: float
    lon: float
    fixes: int

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.left - self.arrived).total_seconds()


class Segment(Struct, frozen=True, gc=False):
    """A finished trip segment: the movement between two stays or gaps, both ends included."""

    id: str
    user_id: str
    started: datetime
    ended: datetime
    start_lat: float
    start_lon: float
    end_lat: float
    end_lon: float
    distance_m: float
    mean_speed_mps: float
    max_speed_mps: float
    fixes: int

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.ended - self.started).total_seconds()


class GpsFacts(Struct, frozen=True, gc=False):
    """What one fix says together with those before it.

    `distance_m`, `seconds` and `speed_mps` are measured from the previous fix of the track and None where there is
    none to measure from: at the first fix, and for late and repeated ones. `stay` and `segment` are what ended with
    this fix, each told once.
    """

    cell: str
    heading: float | None = None
    distance_m: float | None = None
    seconds: float | None = None
    speed_mps: float | None = None
    jump: bool = False
    late: bool = False
    repeat: bool = False
    gap: bool = False
    stay: Stay | None = None
    segment: Segment | None = None
