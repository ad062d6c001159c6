"""Records are taken out of an archive, and nothing else changes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.archive.errors import ArchiveError
from connectors.archive.formats import encoder_of
from connectors.archive.names import Format, Name
from connectors.archive.reading import Wanted, check, read
from connectors.archive.removing import remove
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from connectors.storage.contract import LostRace


def record(offset: int, key: bytes | None) -> StoredRecord:
    value = b"secret of " + (key or b"nobody")
    return StoredRecord(topic="t", partition=0, offset=offset, timestamp=7, key=key, value=value, headers=[("h", b"1")])


def archived(storage: FolderStorage, form: Format, *objects: Sequence[StoredRecord]) -> list[Name]:
    storage.open()
    names: list[Name] = []
    for records in objects:
        encoder = encoder_of(form)
        for one in records:
            encoder.add(one)
        name = Name("t", 0, "2026-01-31", records[0].offset, records[-1].offset, form)
        storage.put(name.path, encoder.finish(), encoder.content_type)
        names.append(name)
    return names


def of_ann(one: StoredRecord) -> bool:
    return one.key == b"ann"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_is_somebodys_is_taken_out_and_all_else_stays_byte_for_byte(tmp_path: Path, form: Format) -> None:
    storage = FolderStorage(tmp_path)
    mixed = [record(0, b"ann"), record(1, b"bob"), record(2, None), record(3, b"ann")]
    whole, others = [record(4, b"ann"), record(5, b"ann")], [record(6, b"bob")]
    *_, untouched = archived(storage, form, mixed, whole, others)
    before = storage.get(untouched.path)
    assert remove(storage, {"t", "no such topic"}.__contains__, of_ann) == 4
    assert list(read(storage, "t", Wanted())) == [mixed[1], mixed[2], others[0]]
    assert storage.get(untouched.path) == before
    (checked,) = check(storage, "t", content=True)
    assert (checked.whole, checked.coverage.span) == (True, (0, 6))  # as of a topic that was compacted
    assert remove(storage, "t".__eq__, of_ann) == 0


def test_a_damaged_object_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    (name,) = archived(storage, "jsonl", [record(0, b"ann")])
    (tmp_path / name.path).write_bytes(b"no gzip")
    with pytest.raises(ArchiveError, match="jsonl"):
        remove(storage, "t".__eq__, of_ann)
    assert (tmp_path / name.path).read_bytes() == b"no gzip"


class Contended(FolderStorage):
    """One in which others are faster so many times."""

    faster = 0

    def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
        if over is not None and self.faster:
            self.faster -= 1
            raise LostRace(path)
        return super().put(path, data, content_type, over)


def test_an_object_that_somebody_else_writes_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    storage = Contended(tmp_path)
    archived(storage, "jsonl", [record(0, b"ann")])
    storage.faster = 2
    assert remove(storage, "t".__eq__, of_ann) == 1
    storage.remove([name.path for name in [Name("t", 0, "2026-01-31", 0, 0, "jsonl")]])
    archived(storage, "jsonl", [record(0, b"ann")])
    storage.faster = 100
    with pytest.raises(Unavailable, match="faster"):
        remove(storage, "t".__eq__, of_ann)
