"""GPS points in GPX 1.0 and 1.1: the points of tracks. Routes and waypoints are plans, not where somebody was.

gpxpy reads each point; the way through the file is ours, because gpxpy refuses a whole file for one bad number in it,
and holds it in memory three times.
"""

from collections.abc import Iterator
from datetime import UTC
from typing import cast
from xml.etree.ElementTree import Element, ParseError, SubElement, XMLPullParser

from gpxpy.gpx import GPXException, GPXTrackPoint
from gpxpy.gpxfield import gpx_fields_from_xml

from connectors.producers.gps_values import UNKNOWN, Fix, Fixes, known_number
from connectors.producers.input_files import READ_ERRORS, InputFile, Numbered, Reading, UnreadableFile
from schemas.events import GpsUpdate, InvalidEvent

_CHUNK_BYTES = 64 * 1024
_POINTS = frozenset({"trkpt", "rtept", "wpt"})
# What a point is asked for, under the names that applications use, in `<extensions>` too (Garmin's TrackPointExtension,
# OsmAnd, GPSLogger).
_TAGS = {
    "ele": "ele",
    "time": "time",
    "speed": "speed",
    "course": "course",
    "bearing": "course",
    "heading": "course",
    "accuracy": "accuracy",
    "hacc": "accuracy",
}


def read_gpx(file: InputFile, user: str) -> Reading:
    """Return the fixes of a GPX file of one user, numbered through all its tracks."""
    return Reading("point", _points(file, user))


def _points(file: InputFile, user: str) -> Iterator[Numbered]:
    fixes, number = Fixes(), 0
    try:
        for element in _track_points(file):
            number += 1
            yield number, _point(element, user, fixes)
    except (ParseError, *READ_ERRORS) as error:
        yield number + 1, InvalidEvent(f"the file is damaged here: {error}")


def _track_points(file: InputFile) -> Iterator[Element]:
    # Python's expat neither loads external entities nor expands nested ones without limit.
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    parents: list[Element] = []
    while chunk := file.read(_CHUNK_BYTES):
        parser.feed(chunk)
        for kind, element in cast(Iterator[tuple[str, Element]], parser.read_events()):
            tag = _local(element.tag)
            if kind == "start":
                if not parents and tag != "gpx":
                    raise UnreadableFile(f"{file.name} is not GPX: its first element is <{tag}>")
                parents.append(element)
                continue
            parents.pop()
            if tag == "trkpt":
                yield element
            if tag in _POINTS:
                parents[-1].clear()  # points that were read leave the tree
    parser.close()


def _point(element: Element, user: str, fixes: Fixes) -> GpsUpdate | InvalidEvent:
    texts = _texts(element)
    try:
        point = _read(element, texts)
        if point.time is None:
            text = texts.get("time")
            raise InvalidEvent(f"Expected ISO 8601 - at `time`, got {text!r}" if text else "`time` is missing")
        at = point.time.replace(tzinfo=UTC) if point.time.tzinfo is None else point.time.astimezone(UTC)
        return fixes.event(
            Fix(
                user=user,
                at=at,
                lat=point.latitude,
                lon=point.longitude,
                accuracy=known_number("accuracy", texts.get("accuracy"), unknown=(-1.0,)),
                speed=_known(point.speed),
                heading=_known(point.course),
                altitude=point.elevation,
            )
        )
    except InvalidEvent as error:
        return error


def _texts(element: Element) -> dict[str, str]:
    """Return the texts of a point by our names for them; its own children come before those of extensions."""
    found: dict[str, str] = {}
    for child in (*element, *element.iter()):
        name = _TAGS.get(_local(child.tag))
        text = (child.text or "").strip()
        if name is not None and text.lower() not in UNKNOWN:
            found.setdefault(name, text)
    return found


def _read(element: Element, texts: dict[str, str]) -> GPXTrackPoint:
    """Let gpxpy read what is needed of a point, in the form of GPX 1.0, in which speed and course are fields."""
    for name in ("lat", "lon"):
        if element.get(name) is None:
            raise InvalidEvent(f"`{name}` is missing")
    plain = Element("trkpt", element.attrib)
    for tag, text in texts.items():
        SubElement(plain, tag).text = text
    try:
        point: GPXTrackPoint = gpx_fields_from_xml(GPXTrackPoint, plain, "1.0")  # pyright: ignore[reportArgumentType]
    except GPXException as error:
        raise InvalidEvent(str(error).replace("<None>", "lat or lon")) from error
    return point


def _known(value: float | None) -> float | None:
    return None if value == -1 else value  # how phones say that they do not know


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
