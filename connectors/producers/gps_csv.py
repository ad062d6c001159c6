"""GPS points in CSV: a header and a point a line, separated by comma, semicolon or tab.

A field that is quoted over several lines is not supported: a stray quotation mark then costs one point and not the rest
of the file.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence

from connectors.producers.gps_columns import Column, find_columns
from connectors.producers.gps_values import Fix, Fixes, known_number, moment, number
from connectors.producers.input_files import InputFile, Line, Numbered, Reading, UnreadableFile
from schemas.events import GpsUpdate, InvalidEvent

_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}.*|\d{6}(\.\d+)?")
_UNKNOWN_IF_MINUS_ONE = frozenset({"accuracy", "speed", "heading"})  # how phones say that they do not know
_UNKNOWN_FEET = -777.0  # how GeoLife and OziExplorer say it of altitudes


def read_csv(file: InputFile, user: str) -> Reading:
    """Return the fixes of a CSV file; `user` is whose they are where no column says so.

    Raises:
        UnreadableFile: the header lacks latitude, longitude or time.
    """
    lines = file.lines()
    for _, line in lines:
        text = "" if isinstance(line, InvalidEvent) else _text(line)
        if text.strip() and not text.startswith(("#", "sep=")):
            return Reading("line", _points(lines, _Layout(text, user)))
    raise UnreadableFile(f"{file.name} has no header line")


class _Layout:
    """How to read the lines below one header."""

    def __init__(self, header: str, user: str) -> None:
        self.delimiter = max(",;\t", key=header.count)
        names = self.split(header)
        self.columns: Mapping[str, Column] = find_columns(names)
        self._user = user

    def split(self, line: str) -> list[str]:
        rows = list(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True))
        return rows[0] if rows else []

    def fix(self, line: str) -> Fix:
        cells = self.split(line)
        return Fix(
            user=self._cell(cells, "user") or self._user,
            at=moment(self._time(cells)),
            lat=number("lat", self._numeral(cells, "lat")),
            lon=number("lon", self._numeral(cells, "lon")),
            accuracy=self._optional(cells, "accuracy"),
            speed=self._optional(cells, "speed"),
            heading=self._optional(cells, "heading"),
            altitude=self._optional(cells, "altitude"),
        )

    def _time(self, cells: Sequence[str]) -> str:
        time, date = self._cell(cells, "time"), self._cell(cells, "date")
        return f"{date} {time}" if date and _TIME_OF_DAY.fullmatch(time) else time

    def _optional(self, cells: Sequence[str], name: str) -> float | None:
        column = self.columns.get(name)
        if column is None:
            return None
        unknown = (-1.0,) if name in _UNKNOWN_IF_MINUS_ONE else (_UNKNOWN_FEET,) if column.factor != 1 else ()
        value = known_number(name, self._numeral(cells, name), unknown=unknown)
        return value if value is None or column.factor == 1 else round(value * column.factor, 3)

    def _numeral(self, cells: Sequence[str], name: str) -> str:
        text = self._cell(cells, name)
        return text if self.delimiter == "," else text.replace(",", ".")  # a decimal comma

    def _cell(self, cells: Sequence[str], name: str) -> str:
        column = self.columns.get(name)
        return cells[column.place].strip() if column is not None and column.place < len(cells) else ""


def _points(lines: Iterator[Line], layout: _Layout) -> Iterator[Numbered]:
    fixes = Fixes()
    for line_number, line in lines:
        if isinstance(line, InvalidEvent):
            yield line_number, line
        elif line.strip():
            yield line_number, _point(_text(line), layout, fixes)


def _point(line: str, layout: _Layout, fixes: Fixes) -> GpsUpdate | InvalidEvent:
    try:
        return fixes.event(layout.fix(line))
    except InvalidEvent as error:
        return error
    except csv.Error as error:
        return InvalidEvent(f"not a line of CSV: {error}")


def _text(line: bytes) -> str:
    # Bytes that are not UTF-8 matter only in a column that is used, and there they are refused.
    return line.decode("utf-8", "surrogateescape")
