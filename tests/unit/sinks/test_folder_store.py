import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.folder import FolderReader, FolderSink, ObjectDamaged
from schemas.writes import ObjectWrite

SOURCE = "user-events"


def write(entity: str, version: int = 1, data: bytes | None = b"bytes", key: str = "", **fields: Any) -> ObjectWrite:
    return ObjectWrite(
        entity=entity,
        version=version,
        source=SOURCE,
        event_id=f"e{version}",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        key=key or f"photos/{entity}.png",
        data=data,
        **fields,
    )


def opened(folder: Path) -> FolderSink:
    sink = FolderSink(folder)
    sink.open()
    return sink


def test_an_object_lies_under_its_key_with_its_description_beside_it(tmp_path: Path) -> None:
    sink = opened(tmp_path / "o")
    sink.write([write("p1", 7, content_type="image/png", metadata={"user": "ü"})])
    assert (tmp_path / "o/photos/p1.png").read_bytes() == b"bytes"
    described = json.loads((tmp_path / "o/photos/p1.png.meta.json").read_text())
    assert described == {
        "key": "photos/p1.png",
        "entity": "p1",
        "version": 7,
        "source": SOURCE,
        "event_id": "e7",
        "occurred_at": "2026-05-01T00:00:00Z",
        "content_type": "image/png",
        "size": 5,
        "sha256": hashlib.sha256(b"bytes").hexdigest(),
        "metadata": {"user": "ü"},
    }
    with FolderReader(tmp_path / "o") as reader:
        found = reader.get("photos/p1.png")
        assert found is not None
        assert (found.data, found.description.content_type) == (b"bytes", "image/png")
        assert reader.counts() == {"objects": 1}
    sink.close()


def test_a_reference_is_kept_without_bytes(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1", 1), write("p1", 2, None, reference="s3://bucket/p1")])
    assert not (tmp_path / "photos/p1.png").exists()
    reader = FolderReader(tmp_path)
    found = reader.get("photos/p1.png")
    assert found is not None
    assert (found.data, found.description.reference) == (None, "s3://bucket/p1")
    assert sink.held([("p1", SOURCE)]) == {("p1", SOURCE): Held(version=2)}
    sink.close()


def test_a_delete_leaves_a_description_that_says_so(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1", 1), write("p1", 2, None, op="delete")])
    assert not (tmp_path / "photos/p1.png").exists()
    described = json.loads((tmp_path / "photos/p1.png.meta.json").read_text())
    assert (described["deleted"], described["version"]) == (True, 2)
    assert FolderReader(tmp_path).get("photos/p1.png") is None
    sink.close()


def test_an_object_that_moves_to_another_key_leaves_nothing_behind(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1", 1, key="a/b/c")])
    assert sink.write([write("p1", 2, key="a")]) == [APPLIED]  # where its folders were
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in files if not path.startswith(".")} == {"a", "a.meta.json"}
    assert sink.held([("p1", SOURCE)]) == {("p1", SOURCE): Held(version=2)}
    sink.close()


def test_an_object_cannot_be_the_folder_of_another_or_take_its_key(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    outcomes = sink.write(
        [
            write("p1", key="a/b"),
            write("p2", key="a/b/c"),
            write("p3", key="a"),
            write("p4", key="a/b"),
            write("p5", key="a/bc"),
            write("p6", data=None),
            write("p7", reference="s3://x"),
        ]
    )
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, True, True, False, True, True]
    assert outcomes[1] == Rejected("`key` 'a/b/c' is in the way of the object 'a/b'")
    assert outcomes[5] == Rejected("needs exactly one of `data` and `reference`")
    sink.close()


def test_bytes_that_are_missing_or_cut_are_not_held(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1"), write("p2"), write("p3")])
    (tmp_path / "photos/p1.png").unlink()
    (tmp_path / "photos/p2.png").write_bytes(b"byt")
    held = sink.held([("p1", SOURCE), ("p2", SOURCE), ("p3", SOURCE)])
    assert [held[entity, SOURCE].copies for entity in ("p1", "p2", "p3")] == [0, 0, 1]
    sink.close()


def test_bytes_that_are_not_those_described_are_an_error_and_not_an_answer(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1"), write("p2")])
    (tmp_path / "photos/p1.png").write_bytes(b"BYTES")
    (tmp_path / "photos/p2.png").unlink()
    for entity in ("p1", "p2"):
        with pytest.raises(ObjectDamaged, match=entity):
            FolderReader(tmp_path).get(f"photos/{entity}.png")
    sink.close()


def test_objects_without_their_index_are_not_written_over(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("p1")])
    sink.close()
    for file in tmp_path.glob(".index.db*"):
        file.unlink()
    with pytest.raises(Fatal, match=r"holds objects, but \.index\.db is gone"):
        sink.open()


def test_a_folder_that_was_never_written_is_unavailable_to_a_reader(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        FolderReader(tmp_path / "nowhere").open()


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it, and nothing after it is done."""


def test_a_crash_between_any_two_steps_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are what changes the file system; after each the process may end."""
    steps_left = 0

    def crashing(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps_left
            if steps_left == 0:
                raise Crash
            steps_left -= 1
            return original(*args, **kwargs)

        return step

    first = [write("changed", 1, b"old"), write("deleted", 1, b"gone"), write("moved", 1, b"here", key="a/b")]
    second = [
        write("changed", 2, b"new!"),
        write("deleted", 2, None, op="delete"),
        write("moved", 2, b"there", key="c"),
        write("added", 1, b"added"),
    ]
    crashes = 0
    while True:
        folder = tmp_path / f"crash-{crashes}"
        sink = opened(folder)
        assert sink.write(first) == [APPLIED] * 3
        with monkeypatch.context() as patched:
            for name in ("replace", "unlink", "write_bytes", "mkdir"):
                patched.setattr(Path, name, crashing(getattr(Path, name)))
            steps_left = crashes
            try:
                sink.write(second)
                crashed = False
            except Crash:
                crashed = True
        sink.close()
        sink = opened(folder)
        entities = [(write.entity, SOURCE) for write in second]
        if crashed:
            assert {one.version for one in sink.held(entities).values()} == {1}
        assert sink.write(second) == [APPLIED if crashed else SUPERSEDED] * 4
        held = dict(sink.held(entities))
        assert held.pop(("deleted", SOURCE)) == Held(version=2, deleted=True, copies=0)
        assert {one.copies for one in held.values()} == {1}
        reader = FolderReader(folder)
        contents = {key: reader.get(key) for key in ("photos/changed.png", "photos/deleted.png", "a/b", "c")}
        assert {key: found and found.data for key, found in contents.items()} == {
            "photos/changed.png": b"new!",
            "photos/deleted.png": None,
            "a/b": None,
            "c": b"there",
        }
        assert list((folder / ".tmp").iterdir()) == []
        sink.close()
        if not crashed:
            break
        crashes += 1
    assert crashes > 10
