import gzip
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.demo.documents import Problem, TableFileError, read_documents, unwrap

MARCH_3 = datetime(2014, 3, 3, tzinfo=UTC)


def written(folder: Path, data: bytes, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "date",
    [
        {"$date": 1393804800000},
        {"$date": {"$numberLong": "1393804800000"}},
        {"$date": "2014-03-03T00:00:00Z"},
        {"$date": "2014-03-03T00:00:00.000+0000"},
        {"$date": "2014-03-03T01:00:00+01:00"},
        {"$date": "2014-03-03"},
    ],
)
def test_every_spelling_of_a_date_is_the_same_moment(date: dict[str, Any]) -> None:
    assert unwrap(date) == MARCH_3


def test_wrapped_numbers_and_ids_are_plain_however_deep_they_lie() -> None:
    value = {"a": [{"$numberInt": "3"}, {"b": {"$numberDouble": "-73.85"}}], "_id": {"$oid": "5f"}, "c": {"d": 1}}
    assert unwrap(value) == {"a": [3, {"b": -73.85}], "_id": "5f", "c": {"d": 1}}


@pytest.mark.parametrize(
    "data", [b'{"a": 1}\n\n{"a": 2}\n', b'[{"a": 1}, {"a": 2}]', b'\xef\xbb\xbf{"a":1}\r\n{"a":2}']
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_and_arrays_plain_or_gzip_give_the_same_documents(tmp_path: Path, data: bytes, pack: Any) -> None:
    documents, problems = read_documents(written(tmp_path, pack(data)))
    assert [document for _, document in documents] == [{"a": 1}, {"a": 2}]
    assert problems == []


def test_a_line_that_cannot_be_read_is_reported_with_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = [
        b'{"a": ',
        b"[1]",
        b'"\xff"',
        b'{"d": {"$date": {}}}',
        b'{"d": {"$date": 1e300}}',
        b'{"a": {"$numberLong": []}}',
    ]
    data = b"\n".join([b'{"a": 1}', *bad, b'{"a": 2}'])
    documents, problems = read_documents(written(tmp_path, data))
    assert documents == [(1, {"a": 1}), (8, {"a": 2})]
    assert [problem.number for problem in problems] == [2, 3, 4, 5, 6, 7]
    assert Problem(3, "is no object but list") in problems


@pytest.mark.parametrize(
    ("data", "says"), [(b"\x1f\x8b\x08\x00", "damaged gzip"), (b'[{"a": 1}, {"a"', "JSON array but is none")]
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(TableFileError, match=f"rows.json .*{says}"):
        read_documents(written(tmp_path, data))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableFileError, match=r"nothing\.json cannot be read: No such file"):
        read_documents(tmp_path / "nothing.json")


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_only_the_documented_error_is_raised(tmp_path_factory: Any, data: bytes) -> None:
    with suppress(TableFileError):
        read_documents(written(tmp_path_factory.getbasetemp(), data))
