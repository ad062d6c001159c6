"""What all formats share: how a format is told, whose points they are, and what their ids are."""

import gzip
from pathlib import Path

import pytest

from connectors.producers.gps_files import read_fixes, stem
from connectors.producers.input_files import InputFile, UnreadableFile
from schemas.events import GpsUpdate

CSV = "lat,lon,time\n39.984702,116.318417,2008-10-23T02:53:04Z\n"
PLT = (
    "Geolife trajectory\nWGS 84\nAltitude is in Feet\nReserved 3\n0,2,255,My Track,0,0,2,8421376\n0\n"
    "39.984702,116.318417,0,492,39744.1201851852,2008-10-23,02:53:04\n"
)
GPX = """<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="39.984702" lon="116.318417"><time>2008-10-23T02:53:04Z</time></trkpt></trkseg></trk></gpx>"""


def fixes(path: Path, content: str | bytes, user: str | None = None) -> list[GpsUpdate]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with InputFile(path) as file:
        items = [item for _, item in read_fixes(file, path, user).records]
    assert all(isinstance(item, GpsUpdate) for item in items), items
    return [item for item in items if isinstance(item, GpsUpdate)]


@pytest.mark.parametrize("content", [CSV, PLT, GPX], ids=["csv", "plt", "gpx"])
@pytest.mark.parametrize("name", ["walk.csv", "walk.plt", "walk.gpx", "walk.txt", "walk"])
def test_the_format_is_told_by_the_content(tmp_path: Path, name: str, content: str) -> None:
    if content == CSV and name == "walk.plt":
        return  # the one case in which the name decides: a PLT file without its usual first line
    (event,) = fixes(tmp_path / name, content)
    assert (event.lat, event.lon, event.occurred_at.isoformat()) == (39.984702, 116.318417, "2008-10-23T02:53:04+00:00")


def test_a_plt_file_without_its_usual_first_line_is_told_by_its_name(tmp_path: Path) -> None:
    assert len(fixes(tmp_path / "walk.plt", PLT.replace("Geolife trajectory", "my track"))) == 1


@pytest.mark.parametrize("content", [CSV, PLT, GPX], ids=["csv", "plt", "gpx"])
def test_files_may_be_compressed_and_start_with_a_byte_order_mark(tmp_path: Path, content: str) -> None:
    packed = gzip.compress(b"\xef\xbb\xbf" + content.encode())
    assert len(fixes(tmp_path / "walk.gz", packed)) == 1


def test_utf16_is_read_where_the_format_allows_it_and_else_named(tmp_path: Path) -> None:
    assert len(fixes(tmp_path / "walk.gpx", GPX.encode("utf-16"))) == 1
    with pytest.raises(UnreadableFile, match="UTF-16: save it as UTF-8"):
        fixes(tmp_path / "walk.csv", CSV.encode("utf-16"))


@pytest.mark.parametrize("content", [CSV, PLT, GPX], ids=["csv", "plt", "gpx"])
def test_points_belong_to_the_given_user_or_to_the_files_name(tmp_path: Path, content: str) -> None:
    assert fixes(tmp_path / "anna.dat.gz", gzip.compress(content.encode()))[0].user_id == "anna"
    assert fixes(tmp_path / "anna.dat", content, user="bert")[0].user_id == "bert"


@pytest.mark.parametrize("content", [CSV, PLT, GPX], ids=["csv", "plt", "gpx"])
def test_the_same_file_gives_the_same_ids_under_any_name_for_the_same_user(tmp_path: Path, content: str) -> None:
    first = fixes(tmp_path / "a.dat", content, user="anna")
    again = fixes(tmp_path / "b.dat", content, user="anna")
    assert [event.event_id for event in first] == [event.event_id for event in again]


def test_the_same_fix_has_the_same_id_in_every_format(tmp_path: Path) -> None:
    assert len({fixes(tmp_path / "walk.dat", content)[0].event_id for content in (CSV, PLT, GPX)}) == 1


def test_points_that_differ_in_anything_that_identifies_them_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = [
        "u1,1.0,2.0,2008-10-23T02:53:04Z",
        "u1,1.0,2.0,2008-10-23T02:53:04Z",  # repeated, as recorded
        "u2,1.0,2.0,2008-10-23T02:53:04Z",
        "u1,1.1,2.0,2008-10-23T02:53:04Z",
        "u1,1.0,2.1,2008-10-23T02:53:04Z",
        "u1,1.0,2.0,2008-10-23T02:53:05Z",
    ]
    events = fixes(tmp_path / "walk.csv", "user,lat,lon,time\n" + "\n".join(rows))
    assert len({event.event_id for event in events}) == len(rows)
    shorter = fixes(tmp_path / "walk.csv", "user,lat,lon,time\n" + rows[2])
    assert shorter[0].event_id == events[2].event_id


@pytest.mark.parametrize("name", ["walk.csv", "walk.gpx", "walk.plt"])
def test_an_empty_file_has_no_points(tmp_path: Path, name: str) -> None:
    assert fixes(tmp_path / name, b"") == []


def test_a_user_that_cannot_be_an_identifier_is_refused_before_any_point(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be a user id"):
        fixes(tmp_path / "walk.csv", CSV, user="")


@pytest.mark.parametrize(
    ("name", "user"), [("a.csv", "a"), ("a.gpx.gz", "a"), ("a", "a"), ("20081023.plt", "20081023"), ("a.b.csv", "a.b")]
)
def test_the_name_of_a_user_is_the_files_without_its_endings(name: str, user: str) -> None:
    assert stem(Path("/somewhere") / name) == user
