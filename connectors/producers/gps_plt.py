"""GPS points in the PLT format of GeoLife and OziExplorer.

Six lines of header, then `latitude,longitude,0,altitude in feet (-777: unknown),days since 1899-12-30,date,time`, in
GMT. Source: the user guide of GeoLife GPS trajectories 1.3, and OziExplorer's description of its track files. Where
date and time are no ISO 8601, as OziExplorer writes them, the days are used, to the second.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from connectors.producers.gps_values import METRES_PER_FOOT, Fix, Fixes, known_number, moment, number
from connectors.producers.input_files import InputFile, Numbered, Reading
from schemas.events import GpsUpdate, InvalidEvent

HEADER_LINES = 6
_DAY_ZERO = datetime(1899, 12, 30, tzinfo=UTC)
_LEAST_FIELDS = 5


def read_plt(file: InputFile, user: str) -> Reading:
    """Return the fixes of a PLT file of one user."""
    return Reading("line", _points(file, user))


def _points(file: InputFile, user: str) -> Iterator[Numbered]:
    fixes = Fixes()
    for line_number, line in file.lines():
        if line_number <= HEADER_LINES:
            continue
        if isinstance(line, InvalidEvent):
            yield line_number, line
        elif line.strip():
            yield line_number, _point(line.decode("utf-8", "replace"), user, fixes)


def _point(line: str, user: str, fixes: Fixes) -> GpsUpdate | InvalidEvent:
    cells = [cell.strip() for cell in line.split(",")]
    try:
        if len(cells) < _LEAST_FIELDS:
            raise InvalidEvent(f"Expected 7 fields, got {len(cells)}")
        feet = known_number("altitude", cells[3], unknown=(-777.0,))
        return fixes.event(
            Fix(
                user=user,
                at=_time(cells),
                lat=number("lat", cells[0]),
                lon=number("lon", cells[1]),
                altitude=None if feet is None else round(feet * METRES_PER_FOOT, 3),
            )
        )
    except InvalidEvent as error:
        return error


def _time(cells: list[str]) -> datetime:
    try:
        return moment(" ".join(cells[5:7]))
    except InvalidEvent:
        days = number("time", cells[4])
    try:
        return _DAY_ZERO + timedelta(seconds=round(days * 86_400))
    except OverflowError as error:
        raise InvalidEvent(f"Expected days since 1899-12-30 - at `time`, got {cells[4]!r}") from error
