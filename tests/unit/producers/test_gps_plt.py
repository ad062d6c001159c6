from pathlib import Path

import pytest

from connectors.producers.gps_plt import read_plt
from connectors.producers.input_files import InputFile, Numbered
from schemas.events import GpsUpdate, InvalidEvent

HEADER = "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"


def read(tmp_path: Path, *rows: str, header: str = HEADER, end: str = "\r\n") -> list[Numbered]:
    path = tmp_path / "20081023025304.plt"
    path.write_bytes((header + end.join(rows)).encode())
    with InputFile(path) as file:
        reading = read_plt(file, "000")
        assert reading.unit == "line"
        return list(reading.records)


def one(tmp_path: Path, row: str) -> GpsUpdate:
    ((_, item),) = read(tmp_path, row)
    assert isinstance(item, GpsUpdate), item
    return item


def test_a_point_of_geolife_is_read(tmp_path: Path) -> None:
    event = one(tmp_path, "39.984702,116.318417,0,492,39744.1201851852,2008-10-23,02:53:04")
    assert (event.user_id, event.lat, event.lon) == ("000", 39.984702, 116.318417)
    assert event.altitude == pytest.approx(149.96, abs=0.01)
    assert event.occurred_at.isoformat() == "2008-10-23T02:53:04+00:00"


def test_an_altitude_of_minus_777_is_unknown(tmp_path: Path) -> None:
    assert one(tmp_path, "39.9,116.3,0,-777,39744.12,2008-10-23,02:53:04").altitude is None


def test_the_days_are_used_where_date_and_time_are_written_otherwise(tmp_path: Path) -> None:
    for rest in (",23-Oct-08, 2:53:04 AM", ",,", ""):
        event = one(tmp_path, f"  39.984702, 116.318417,0, 492, 39744.1201851852{rest}")
        assert event.occurred_at.isoformat() == "2008-10-23T02:53:04+00:00"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("400.16,116.3,0,492,39744.12,2008-10-23,02:53:04", "$.lat"),  # GeoLife has this one
        ("39.9,,0,492,39744.12,2008-10-23,02:53:04", "`lon` is missing"),
        ("39.9,116.3,0,high,39744.12,2008-10-23,02:53:04", "`altitude`, got 'high'"),
        ("39.9,116.3", "7 fields"),
        ("39.9,116.3,0,492,soon,soon,soon", "`time`, got 'soon'"),
        ("39.9,116.3,0,492,1e99,x,y", "`time`"),
        ("39.9,116.3,0,492,-5,x,y", "1990"),
    ],
)
def test_a_bad_point_is_an_error_of_its_line_and_the_rest_goes_on(tmp_path: Path, row: str, expected: str) -> None:
    found = read(tmp_path, row, "39.9,116.3,0,492,39744.12,2008-10-23,02:53:04")
    assert [number for number, _ in found] == [7, 8]
    assert isinstance(found[0][1], InvalidEvent)
    assert expected in str(found[0][1])
    assert isinstance(found[1][1], GpsUpdate)


def test_a_file_that_is_only_header_has_no_points(tmp_path: Path) -> None:
    assert read(tmp_path) == []
