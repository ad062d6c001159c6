import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.producers.gps_csv import read_csv
from connectors.producers.input_files import InputFile, Numbered, UnreadableFile
from schemas.events import GpsUpdate, InvalidEvent

TIME = "2008-10-23T02:53:04Z"


def read(tmp_path: Path, content: str | bytes) -> list[Numbered]:
    path = tmp_path / "points.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with InputFile(path) as file:
        return list(read_csv(file, "someone").records)


def one(tmp_path: Path, content: str) -> GpsUpdate:
    ((_, item),) = read(tmp_path, content)
    assert isinstance(item, GpsUpdate), item
    return item


def reason(tmp_path: Path, header: str, row: str) -> str:
    found = read(tmp_path, f"{header}\n{row}\n1,2,{TIME}\n")
    number, item = found[0]
    assert number == 2
    assert isinstance(item, InvalidEvent)
    return str(item)


@pytest.mark.parametrize(
    "header",
    [
        "lat,lon,time",
        "Latitude,Longitude,Timestamp",
        "LATITUDE,LNG,DateTime",
        " lat , long , time_utc ",
        '"lat","lon","time"',
        "y,x,date",
        "gps_lat,gps_lon,recorded_at",
        "location-lat,location-long,timestamp",
        "Latitude (deg),Longitude (deg),UTC time",
        "lat,lon,epoch",
    ],
)
def test_the_usual_names_of_columns_are_understood(tmp_path: Path, header: str) -> None:
    event = one(tmp_path, f"{header}\n39.984702,116.318417,{TIME}\n")
    assert (event.lat, event.lon, event.occurred_at.isoformat()) == (39.984702, 116.318417, "2008-10-23T02:53:04+00:00")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_may_be_separated_by_comma_semicolon_or_tab_in_any_order(tmp_path: Path, delimiter: str) -> None:
    rows = [["time", "note", "lon", "lat"], [TIME, "Bei Jing", "116.3", "39.9"]]
    event = one(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    assert (event.lat, event.lon) == (39.9, 116.3)


def test_a_decimal_comma_is_understood_where_the_comma_does_not_separate(tmp_path: Path) -> None:
    event = one(tmp_path, f"lat;lon;time;speed\n39,984702;116,318417;{TIME};1,5\n")
    assert (event.lat, event.lon, event.speed) == (39.984702, 116.318417, 1.5)


def test_a_name_that_says_latitude_comes_before_one_that_may_be_a_projection(tmp_path: Path) -> None:
    event = one(tmp_path, f"x,y,lat,lon,time\n448251.8,5411943.8,39.9,116.3,{TIME}\n")
    assert (event.lat, event.lon) == (39.9, 116.3)


def test_date_and_time_may_stand_in_two_columns(tmp_path: Path) -> None:
    for row in ("2008-10-23,02:53:04", "2008/10/23,2:53:04", "20081023,025304"):
        event = one(tmp_path, f"lat,lon,date,time\n1,2,{row}\n")
        assert event.occurred_at.isoformat() == "2008-10-23T02:53:04+00:00"


def test_a_full_time_beside_a_date_is_enough(tmp_path: Path) -> None:
    assert one(tmp_path, f"lat,lon,date,time\n1,2,23.10.08,{TIME}\n").occurred_at.day == 23


def test_optional_columns_are_taken_in_the_units_of_the_event(tmp_path: Path) -> None:
    event = one(
        tmp_path, f"user,track,lat,lon,altitude_ft,speed,accuracy,bearing,time\nu7,t1,1,2,492,1.5,8,90,{TIME}\n"
    )
    assert (event.user_id, event.altitude, event.speed, event.accuracy, event.heading) == ("u7", 149.962, 1.5, 8, 90)


@pytest.mark.parametrize(
    ("header", "value", "field", "expected"),
    [
        ("Speed (km/h)", "36", "speed", 10),
        ("speed_mph", "10", "speed", 4.47),
        ("speed_knots", "18", "speed", 9.26),
        ("velocity m/s", "3", "speed", 3),
        ("ele", "12.5", "altitude", 12.5),
        ("Elevation (feet)", "100", "altitude", 30.48),
        ("alt", "-5", "altitude", -5),
        ("course", "0", "heading", 0),
        ("hAcc", "4", "accuracy", 4),
    ],
)
def test_units_in_the_header_are_converted(
    tmp_path: Path, header: str, value: str, field: str, expected: float
) -> None:
    event = one(tmp_path, f"lat,lon,time,{header}\n1,2,{TIME},{value}\n")
    assert getattr(event, field) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("nothing", ["", " ", "nan", "NULL", "n/a", "-", "-1"])
def test_optional_values_that_nobody_knows_are_left_out(tmp_path: Path, nothing: str) -> None:
    event = one(tmp_path, f"lat,lon,time,speed,accuracy,heading\n1,2,{TIME},{nothing},{nothing},{nothing}\n")
    assert (event.speed, event.accuracy, event.heading) == (None, None, None)


def test_an_altitude_of_minus_777_feet_is_unknown(tmp_path: Path) -> None:
    assert one(tmp_path, f"lat,lon,time,altitude_ft\n1,2,{TIME},-777\n").altitude is None


def test_an_empty_user_falls_back_to_the_files(tmp_path: Path) -> None:
    assert one(tmp_path, f"user,lat,lon,time\n,1,2,{TIME}\n").user_id == "someone"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (f"abc,2,{TIME}", "Expected a number - at `lat`, got 'abc'"),
        (f",2,{TIME}", "`lat` is missing"),
        (f"95,2,{TIME}", "$.lat"),
        (f"1,-181,{TIME}", "$.lon"),
        (f"nan,2,{TIME}", "`lat`"),
        (f"1e999,2,{TIME}", "$.lat"),
        ("1,2,", "`time` is missing"),
        ("1,2", "`time` is missing"),
        ("1,2,yesterday", "`time`, got 'yesterday'"),
        ("1,2,2008-10-23", "time of day"),
        ("1,2,23/10/2008 02:53", "`time`"),
        ("1,2,0001-01-01T00:00:00Z", "1990"),
        ("1,2,1970-01-01T00:00:00Z", "1990"),
        ("1,2,9999-12-31T23:59:59Z", "1990"),
        ("only one", "`time` is missing"),
    ],
)
def test_a_bad_point_names_its_field_and_the_rest_goes_on(tmp_path: Path, row: str, expected: str) -> None:
    assert expected in reason(tmp_path, "lat,lon,time", row)


def test_a_bad_optional_value_is_a_bad_point(tmp_path: Path) -> None:
    assert "`speed`, got 'fast'" in reason(tmp_path, "lat,lon,time,speed", f"1,2,{TIME},fast")
    assert "$.speed" in reason(tmp_path, "lat,lon,time,speed", f"1,2,{TIME},5000")
    assert "$.heading" in reason(tmp_path, "lat,lon,time,heading", f"1,2,{TIME},361")


def test_a_stray_quotation_mark_costs_one_point(tmp_path: Path) -> None:
    found = read(tmp_path, f'lat,lon,time\n"1,2,{TIME}\n3,4,{TIME}\n5,6,{TIME}\n')
    assert [number for number, item in found if isinstance(item, GpsUpdate)] == [3, 4]


def test_bytes_that_are_not_utf8_matter_only_in_a_column_that_is_used(tmp_path: Path) -> None:
    row = b"\xe9t\xe9,1,2,%b\n" % TIME.encode()
    ((_, item),) = read(tmp_path, b"note,lat,lon,time\n" + row)
    assert isinstance(item, GpsUpdate)
    ((_, item),) = read(tmp_path, b"lat,note,lon,time\n" + row)
    assert isinstance(item, InvalidEvent)


def test_numbers_count_the_lines_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, f"\n# exported\nsep=,\nlat,lon,time\n\n1,2,{TIME}\nbad\n\n1,2,{TIME}\n")
    assert [number for number, _ in found] == [6, 7, 9]


@pytest.mark.parametrize("header", ["a,b,c", "lat,lon", "39.9,116.3,2008-10-23T02:53:04Z", "| file | what |"])
def test_a_header_without_the_necessary_columns_is_refused_and_says_what_is_understood(
    tmp_path: Path, header: str
) -> None:
    with pytest.raises(UnreadableFile, match=r"no column for `(lat|time)` .such as"):
        read(tmp_path, f"{header}\n1,2,3\n")


def test_a_file_of_blank_lines_has_no_header(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no header"):
        read(tmp_path, "\n\n")


def test_thousands_of_points_like_those_of_geolife_are_read_as_recorded(tmp_path: Path) -> None:
    chance = random.Random(7)
    moment = datetime(2008, 10, 23, 2, 53, 4)  # noqa: DTZ001 - written with its Z below
    rows: list[str] = []
    for number in range(3_000):
        moment += timedelta(seconds=chance.randint(1, 5))
        lat, lon = 39.98 + chance.uniform(-0.05, 0.05), 116.32 + chance.uniform(-0.05, 0.05)
        feet = chance.choice([492, -777, 500.656, chance.randint(-200, 900)])
        rows.append(f"{number % 6:03},20081023025304,{lat:.6f},{lon:.6f},{feet},{moment.isoformat()}Z")
    rows += rows[100:300]  # parts that were recorded twice
    found = read(tmp_path, "user,track,lat,lon,altitude_ft,time_utc\n" + "\n".join(rows))
    events = [item for _, item in found if isinstance(item, GpsUpdate)]
    assert len(events) == len(rows) == 3_200
    assert len({event.event_id for event in events}) == 3_200
    assert {event.user_id for event in events} == {f"00{number}" for number in range(6)}
    assert [(f"{event.lat:.6f}", f"{event.lon:.6f}") for event in events] == [
        tuple(row.split(",")[2:4]) for row in rows
    ]
