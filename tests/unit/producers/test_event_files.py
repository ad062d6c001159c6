import gzip
from pathlib import Path

import pytest

from connectors.producers.event_files import read_events
from connectors.producers.input_files import MAX_LINE_BYTES, InputFile, Numbered, UnreadableFile
from schemas.events import InvalidEvent, TripStarted

GOOD = b'{"type":"trip_started","event_id":"e%d","user_id":"u1","occurred_at":"2026-03-01T12:00:00Z","trip_id":"t1"}'


def read(tmp_path: Path, content: bytes, name: str = "events.jsonl") -> list[Numbered]:
    path = tmp_path / name
    path.write_bytes(content)
    with InputFile(path) as file:
        reading = read_events(file)
        assert reading.unit == "line"
        return list(reading.records)


def ids(found: list[Numbered]) -> list[tuple[int, str]]:
    return [(number, item.event_id) for number, item in found if isinstance(item, TripStarted)]


def errors(found: list[Numbered]) -> dict[int, str]:
    return {number: str(item) for number, item in found if isinstance(item, InvalidEvent)}


def test_each_line_is_an_event_with_its_number(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD % 1 + b"\n" + GOOD % 2 + b"\n")
    assert ids(found) == [(1, "e1"), (2, "e2")]


def test_blank_lines_windows_ends_a_byte_order_mark_and_a_missing_last_newline_do_not_matter(tmp_path: Path) -> None:
    found = read(tmp_path, b"\xef\xbb\xbf" + GOOD % 1 + b"\r\n\r\n   \n" + GOOD % 2)
    assert ids(found) == [(1, "e1"), (4, "e2")]
    assert errors(found) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "truncated"),
        (b'{"type":"dance"}', "type"),
        (b"\xff\xfe\xfd", "malformed"),
        ((GOOD % 1).replace(b"t1", b"\xff"), "utf-8"),
        (b"[" * 100_000, "array"),
        (b'{"type":"trip_started","user_id":"u1","occurred_at":"2026-03-01T12:00:00Z","trip_id":"t1"}', "event_id"),
        (b'{"type":"trip_started","event_id":"e1","user_id":"u1","trip_id":"t1"}', "occurred_at"),
        (b"x" * (MAX_LINE_BYTES + 1), f"at most {MAX_LINE_BYTES} bytes"),
        (b"x" * (3 * MAX_LINE_BYTES), f"at most {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_bad_line_is_an_error_of_that_line_only(tmp_path: Path, line: bytes, reason: str) -> None:
    found = read(tmp_path, GOOD % 1 + b"\n" + line + b"\n" + GOOD % 3 + b"\n")
    assert ids(found) == [(1, "e1"), (3, "e3")]
    assert set(errors(found)) == {2}
    assert reason in errors(found)[2]


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    padded = GOOD % 1 + b" " * (MAX_LINE_BYTES - len(GOOD % 1))
    assert ids(read(tmp_path, padded + b"\n" + padded)) == [(1, "e1"), (2, "e1")]


def test_gzip_is_recognized_by_its_content(tmp_path: Path) -> None:
    assert ids(read(tmp_path, gzip.compress(GOOD % 1 + b"\n"), "events.txt")) == [(1, "e1")]


def test_a_truncated_gzip_file_gives_what_is_there_and_one_error(tmp_path: Path) -> None:
    whole = b"".join(GOOD % number + b"\n" for number in range(20_000))
    found = read(tmp_path, gzip.compress(whole)[:-20_000])
    good = ids(found)
    assert good == [(number + 1, f"e{number}") for number in range(len(good))]
    assert len(good) > 1_000
    assert list(errors(found)) == [len(good) + 1]
    assert "cannot be read" in errors(found)[len(good) + 1]


def test_an_empty_file_has_no_events(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == []


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"none\.jsonl cannot be read: No such file"):
        InputFile(tmp_path / "none.jsonl")
    with pytest.raises(UnreadableFile, match="Is a directory"):
        InputFile(tmp_path)


def test_position_grows_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(GOOD % number + b"\n" for number in range(1_000)))
    with InputFile(path) as file:
        assert file.position == 0
        assert len(list(read_events(file).records)) == 1_000
        assert file.position == file.size == path.stat().st_size
