import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gpxpy.gpx import GPX, GPXTrack, GPXTrackPoint, GPXTrackSegment

from connectors.producers.gps_gpx import read_gpx
from connectors.producers.input_files import InputFile, Numbered, UnreadableFile
from schemas.events import GpsUpdate, InvalidEvent

NAMESPACE = (
    'xmlns="http://www.topografix.com/GPX/1/1" xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2"'
)
TIME = "<time>2008-10-23T02:53:04Z</time>"


def read(tmp_path: Path, content: str | bytes) -> list[Numbered]:
    path = tmp_path / "walk.gpx"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with InputFile(path) as file:
        reading = read_gpx(file, "anna")
        assert reading.unit == "point"
        return list(reading.records)


def gpx(*points: str, version: str = "1.1") -> str:
    return f'<gpx version="{version}" {NAMESPACE}><trk><trkseg>{"".join(points)}</trkseg></trk></gpx>'


def one(tmp_path: Path, point: str, version: str = "1.1") -> GpsUpdate:
    ((_, item),) = read(tmp_path, gpx(point, version=version))
    assert isinstance(item, GpsUpdate), item
    return item


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_gpxpy_writes_is_read_back(tmp_path: Path, version: str) -> None:
    written, start = GPX(), datetime(2024, 5, 1, 10, tzinfo=UTC)
    for track in range(2):
        segments = [GPXTrackSegment(), GPXTrackSegment()]
        for number in range(10):
            at = start + timedelta(minutes=track * 60 + number, milliseconds=250)
            point = GPXTrackPoint(48.1 + number / 1000, 11.5 + track, elevation=500.5, time=at)
            segments[number // 5].points.append(point)
        written.tracks.append(GPXTrack())
        written.tracks[-1].segments.extend(segments)
    found = read(tmp_path, written.to_xml(version))
    points = [point for track in written.tracks for segment in track.segments for point in segment.points]
    assert [number for number, _ in found] == list(range(1, 21))
    for (_, event), point in zip(found, points, strict=True):
        assert isinstance(event, GpsUpdate)
        assert (event.lat, event.lon, event.altitude, event.occurred_at) == (
            point.latitude,
            point.longitude,
            500.5,
            point.time,
        )


def test_speed_and_course_are_read_where_each_version_and_application_puts_them(tmp_path: Path) -> None:
    garmin = (
        "<extensions><gpxtpx:TrackPointExtension><gpxtpx:hr>120</gpxtpx:hr><gpxtpx:speed>2.5</gpxtpx:speed>"
        "<gpxtpx:course>90</gpxtpx:course></gpxtpx:TrackPointExtension></extensions>"
    )
    for version, rest in (
        ("1.0", "<course>90</course><speed>2.5</speed>"),
        ("1.1", garmin),
        ("1.1", "<extensions><speed>2.5</speed><bearing>90</bearing></extensions>"),
        ("1.1", "<speed>2.5</speed><course>90</course>"),
    ):
        event = one(tmp_path, f'<trkpt lat="1" lon="2">{TIME}{rest}</trkpt>', version)
        assert (event.speed, event.heading) == (2.5, 90)


def test_values_that_nobody_knows_are_left_out(tmp_path: Path) -> None:
    rest = "<ele></ele><speed>-1</speed><course>-1</course><extensions><accuracy>nan</accuracy></extensions>"
    event = one(tmp_path, f'<trkpt lat="1" lon="2">{TIME}{rest}</trkpt>')
    assert (event.altitude, event.speed, event.heading, event.accuracy) == (None, None, None, None)


@pytest.mark.parametrize(
    "time",
    [
        "2008-10-23T02:53:04Z",
        "2008-10-23T02:53:04",
        "2008-10-23 02:53:04Z",
        "2008-10-23T04:53:04+02:00",
        "\n 2008-10-23T02:53:04.000Z\n",
    ],
)
def test_times_may_have_a_zone_or_not(tmp_path: Path, time: str) -> None:
    event = one(tmp_path, f'<trkpt lat="1" lon="2"><time>{time}</time></trkpt>')
    assert event.occurred_at.isoformat() == "2008-10-23T02:53:04+00:00"


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (f'<trkpt lat="95" lon="2">{TIME}</trkpt>', "$.lat"),
        (f'<trkpt lat="abc" lon="2">{TIME}</trkpt>', "abc"),
        (f'<trkpt lat="" lon="2">{TIME}</trkpt>', "lat or lon"),
        (f'<trkpt lat="nan" lon="2">{TIME}</trkpt>', "$.lat"),
        (f'<trkpt lat="1">{TIME}</trkpt>', "`lon` is missing"),
        ('<trkpt lat="1" lon="2"/>', "`time` is missing"),
        ('<trkpt lat="1" lon="2"><time/></trkpt>', "`time` is missing"),
        ('<trkpt lat="1" lon="2"><time>noon</time></trkpt>', "`time`, got 'noon'"),
        ('<trkpt lat="1" lon="2"><time>1970-01-01T00:00:00Z</time></trkpt>', "1990"),
        (f'<trkpt lat="1" lon="2">{TIME}<ele>high</ele></trkpt>', "<ele>"),
        (f'<trkpt lat="1" lon="2">{TIME}<extensions><accuracy>good</accuracy></extensions></trkpt>', "`accuracy`"),
    ],
)
def test_a_bad_point_is_an_error_with_its_number_and_the_rest_goes_on(
    tmp_path: Path, point: str, expected: str
) -> None:
    good = f'<trkpt lat="1" lon="2">{TIME}</trkpt>'
    found = read(tmp_path, gpx(good, point, good))
    assert [type(item) for _, item in found] == [GpsUpdate, InvalidEvent, GpsUpdate]
    assert found[1][0] == 2
    assert expected in str(found[1][1])


def test_values_that_are_not_used_cannot_make_a_point_bad(tmp_path: Path) -> None:
    rest = "<sat>many</sat><fix>psychic</fix><hdop>?</hdop><magvar>x</magvar>"
    assert one(tmp_path, f'<trkpt lat="1" lon="2">{TIME}{rest}</trkpt>').lat == 1


def test_routes_and_waypoints_are_not_positions(tmp_path: Path) -> None:
    content = (
        f'<gpx version="1.1" {NAMESPACE}><wpt lat="9" lon="9">{TIME}</wpt>'
        f'<rte><rtept lat="8" lon="8">{TIME}</rtept></rte>'
        f'<trk><trkseg><trkpt lat="1" lon="2">{TIME}</trkpt></trkseg></trk></gpx>'
    )
    ((_, item),) = read(tmp_path, content)
    assert isinstance(item, GpsUpdate)
    assert item.lat == 1


def test_namespaces_prefixes_and_encodings_do_not_matter(tmp_path: Path) -> None:
    point = f'<trkpt lat="1" lon="2">{TIME}<name>Müller</name></trkpt>'
    bare = f'<gpx version="1.1"><trk><trkseg>{point}</trkseg></trk></gpx>'
    prefixed = (
        '<g:gpx version="1.1" xmlns:g="http://www.topografix.com/GPX/1/1"><g:trk><g:trkseg><g:trkpt lat="1" lon="2">'
        "<g:time>2008-10-23T02:53:04Z</g:time></g:trkpt></g:trkseg></g:trk></g:gpx>"
    )
    latin = ('<?xml version="1.0" encoding="ISO-8859-1"?>' + gpx(point)).encode("latin-1")
    for content in (bare, prefixed, latin, gpx(point).encode("utf-16")):
        ((_, item),) = read(tmp_path, content)
        assert isinstance(item, GpsUpdate)


def test_a_truncated_file_gives_its_points_and_one_error(tmp_path: Path) -> None:
    points = [f'<trkpt lat="{number % 90}" lon="2">{TIME}</trkpt>\n' for number in range(3_000)]
    found = read(tmp_path, gpx(*points)[:-2_000])
    assert len(found) > 2_000
    assert all(isinstance(item, GpsUpdate) for _, item in found[:-1])
    assert isinstance(found[-1][1], InvalidEvent)
    assert "damaged" in str(found[-1][1])


@pytest.mark.parametrize("content", ["<kml><Placemark/></kml>", "<html><body>Sign in</body></html>"])
def test_xml_that_is_not_gpx_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnreadableFile, match="is not GPX: its first element is <"):
        read(tmp_path, content)


def test_text_that_is_not_xml_is_one_error(tmp_path: Path) -> None:
    ((number, item),) = read(tmp_path, "< hello")
    assert (number, type(item)) == (1, InvalidEvent)


def test_entities_are_not_expanded_without_limit(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    content = f'<!DOCTYPE gpx [<!ENTITY l0 "ha">{laughs}]>' + gpx(
        f'<trkpt lat="1" lon="2">{TIME}<name>&l9;</name></trkpt>'
    )
    (*_, (_, item)) = read(tmp_path, content)
    assert isinstance(item, InvalidEvent)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(points: int) -> int:
        path = tmp_path / "long.gpx"
        path.write_text(gpx(*[f'<trkpt lat="1" lon="2">{TIME}<ele>12.5</ele></trkpt>\n'] * points))
        with InputFile(path) as file:
            tracemalloc.start()
            try:
                assert sum(1 for _ in read_gpx(file, "anna").records) == points
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert peak(8_000) < 1.2 * peak(2_000)
