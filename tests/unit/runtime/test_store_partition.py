# pyright: reportPrivateUsage=false
"""One partition's database: what is restored, what a crash leaves, what leaves the disk."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runtime.entries import DELETED, Changes, Entry, encode, envelope, supersedes
from streams.runtime.partition_store import DAY_MS, PartitionStore, StateUnreadable
from streams.runtime.state_memory import StateMemory

Open = Callable[..., PartitionStore]
NOW_MS = 1_777_636_800_000
SMALL = {"cache_bytes": 1 << 20, "write_buffers_bytes": 256 << 10}


@pytest.fixture
def opened(folder: Path) -> Iterator[Open]:
    stores: list[PartitionStore] = []

    def open_store(path: Path | None = None, **settings: Any) -> PartitionStore:
        store = PartitionStore(path or folder / f"store-{len(stores)}", StateMemory(**SMALL), **settings)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> PartitionStore:
    return opened(clock=lambda: NOW_MS)


def entry(offset: int, value: object = "x", *, topic: str = "user", written_ms: int = 0) -> bytes:
    return encode(Entry({topic: offset}, value, written_ms))


def put(key: bytes, offset: int, value: object = "x") -> Changes:
    return Changes([(key, entry(offset, value))], [])


def delete(key: bytes, offset: int, at_ms: int = NOW_MS) -> Changes:
    return Changes([], [(key, entry(offset, None, written_ms=at_ms), at_ms)])


class Logged:
    """A changelog record, as a state table writes it."""

    _offsets = count()

    def __init__(self, key: bytes | None, source: int, value: object | None, *, at_ms: int = NOW_MS) -> None:
        encoded = entry(source, value, written_ms=at_ms)
        self.offset = next(self._offsets)
        self.key = key
        self.value = None if value is None else encoded
        self.headers: Sequence[tuple[str, bytes | None]] = ((DELETED, encoded),) if value is None else ()


def visible(store: PartitionStore) -> dict[bytes, Any]:
    return {key: bytes(envelope(raw).value) for key, raw in store.between(b"")}


def test_a_write_is_there_with_the_offset_it_reaches(opened: Open, folder: Path) -> None:
    store = opened(folder / "a")
    assert store.reached is None
    store.write(put(b"k", 7), reached=0)
    store.close()
    store = opened(folder / "a")
    assert store.get(b"k") == entry(7)
    assert store.reached == 0


def test_a_deleted_key_keeps_its_position_and_shows_in_no_scan(store: PartitionStore) -> None:
    store.write(put(b"k", 1), reached=0)
    store.write(delete(b"k", 2), reached=1)
    raw = store.get(b"k")
    assert raw is not None
    assert store.get_many([b"k", b"other"]) == [raw, None]
    assert envelope(raw).positions == {"user": 2}
    assert store.between(b"") == []


def test_positions_of_deleted_keys_are_forgotten_after_their_time(opened: Open) -> None:
    now = NOW_MS
    store = opened(clock=lambda: now, deleted_ms=DAY_MS)
    for number in range(2_500):
        store.write(delete(b"k%d" % number, number, now), reached=number)
    now += DAY_MS // 2
    store.write(delete(b"k1", 5_000, now), reached=2_500)  # deleted again, later
    now += DAY_MS // 2 + 1
    for reached in range(2_501, 2_504):  # a part each time
        store.write(put(b"other", 1), reached=reached)
    assert store.get(b"k0") is None
    assert store.get(b"k2499") is None
    assert store.get(b"k1") is not None
    assert len(store.between(b"\xff\xff\xffdeleted", b"\xff\xff\xffe")) == 2  # the position of k1, and its time


def test_the_offset_stays_where_it_is_when_somebody_else_wrote_to_the_changelog(store: PartitionStore) -> None:
    store.write(put(b"k", 1), reached=10)
    store.write(put(b"k", 2), reached=11)
    store.write(put(b"k", 3), reached=13)  # 12 is of a worker that does not know that it lost the partition
    assert store.reached == 11
    store.restore([], reached=13)
    store.write(put(b"k", 4), reached=14)
    assert store.reached == 14


def filled(store: PartitionStore, steps: Iterable[int]) -> None:
    """Write 100 keys in each step; the changelog offset says how many keys there are."""
    for step in steps:
        changes = Changes([(b"%d-%d" % (step, key), entry(step, "x" * 200)) for key in range(100)], [])
        store.write(changes, reached=(step + 1) * 100 - 1)


def assert_is_a_prefix(store: PartitionStore) -> int:
    """Check that a store holds exactly what its changelog offset says; returns how many keys that are."""
    keys = 0 if store.reached is None else store.reached + 1
    assert {key for key, _ in store.between(b"")} == {b"%d-%d" % divmod(number, 100) for number in range(keys)}
    return keys


WRITER = """
import sys
sys.path[:0] = {path!r}
from itertools import count
from pathlib import Path
from test_store_partition import SMALL, PartitionStore, StateMemory, filled
store = PartitionStore(Path({folder!r}), StateMemory(**SMALL))
for step in count():
    filled(store, [step])
    print(step, flush=True)
"""


def test_what_a_killed_process_leaves_is_a_prefix_of_what_it_wrote(opened: Open, folder: Path) -> None:
    path = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(path=path, folder=str(folder / "live"))], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout:
        for told in writer.stdout:
            if int(told) == 200:
                writer.kill()
                break
    writer.wait()
    assert assert_is_a_prefix(opened(folder / "live")) > 1_000


def test_a_truncated_manifest_is_an_error_or_an_older_state_never_a_newer_offset(opened: Open, folder: Path) -> None:
    store = opened(folder / "live")
    for step in range(3):  # fewer files than are compacted, so that those of an older state are still there
        filled(store, [step])
        store._db.flush()
    store.close()
    (manifest,) = (folder / "live").glob("MANIFEST*")
    keys: list[int] = []
    size = manifest.stat().st_size
    for cut in range(1, size, size // 15):
        copy = Path(shutil.copytree(folder / "live", folder / f"cut-{cut}"))
        (broken,) = copy.glob("MANIFEST*")
        broken.write_bytes(broken.read_bytes()[:cut])
        store = None
        with contextlib.suppress(Exception):  # RocksDB noticed; it has no errors of its own
            store = opened(copy)
        if store is not None:
            keys.append(assert_is_a_prefix(store))
    assert any(0 < found < 300 for found in keys)


def test_restoring_keeps_what_the_rightful_owner_wrote_over_what_a_zombie_wrote_later(store: PartitionStore) -> None:
    store.restore([Logged(b"k", 20, "owner"), Logged(b"k", 11, "zombie")], reached=1)
    assert store.get(b"k") == entry(20, "owner", written_ms=NOW_MS)
    store.restore([Logged(b"k", 12, None)], reached=2)
    assert store.get(b"k") == entry(20, "owner", written_ms=NOW_MS)
    store.restore([Logged(b"k", 21, None)], reached=3)
    store.restore([Logged(b"k", 13, "zombie")], reached=4)
    assert visible(store) == {}
    assert store.reached == 4


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_order_a_changelog_is_read_in_the_highest_offset_of_each_key_wins(data: st.DataObject) -> None:
    found = st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 50), st.booleans())
    records = data.draw(st.lists(found, min_size=1, max_size=30, unique_by=lambda one: one[:2]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=3)))
    highest = {key: max(offset for other, offset, _ in records if other == key) for key, _, _ in records}
    expected = {key: encode(offset) for key, offset, put in records if put and offset == highest[key]}
    with _store() as store:
        logged = [Logged(key, offset, offset if put else None) for key, offset, put in records]
        for first, last in zip([0, *cuts], [*cuts, len(logged)], strict=True):
            store.restore(logged[first:last], reached=last)
        assert visible(store) == expected


class _store:  # noqa: N801 - a fixture for each example
    def __enter__(self) -> PartitionStore:
        import tempfile

        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self._store = PartitionStore(Path(self._folder.name) / "s", StateMemory(**SMALL), clock=lambda: NOW_MS)
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
        self._folder.cleanup()


def test_positions_of_topics_that_moved_apart_do_not_supersede_each_other() -> None:
    assert supersedes({"gps": 5, "user": 3}, {"gps": 5, "user": 3})
    assert supersedes({"gps": 6, "user": 3}, {"gps": 5})
    assert not supersedes({"gps": 6, "user": 2}, {"gps": 5, "user": 3})


def test_a_tombstone_that_no_state_table_wrote_removes_its_key(store: PartitionStore) -> None:
    store.restore([Logged(b"k", 20, "x")], reached=0)
    foreign = Logged(b"k", 0, None)
    foreign.headers = ()
    store.restore([foreign], reached=1)
    assert visible(store) == {}


@pytest.mark.parametrize("value", [b"", b"\xc1", b"{}", b"[1]", encode([1, 2]), entry(1)[:-1]])
def test_a_record_that_is_no_entry_is_an_error_and_nothing_of_its_run_is_applied(
    store: PartitionStore, value: bytes
) -> None:
    good, bad = Logged(b"a", 1, "x"), Logged(b"b", 2, "x")
    bad.value = value
    with pytest.raises(StateUnreadable, match=f"offset {bad.offset}"):
        store.restore([good, bad], reached=1)
    assert visible(store) == {}
    assert store.reached is None


@pytest.mark.parametrize("key", [None, b"\xff\xff\xffoffset"])
def test_a_record_without_a_key_of_a_table_is_an_error(store: PartitionStore, key: bytes | None) -> None:
    with pytest.raises(StateUnreadable, match="key"):
        store.restore([Logged(key, 1, "x")], reached=0)


def test_what_has_expired_is_not_restored(opened: Open) -> None:
    store = opened(clock=lambda: NOW_MS, ttl_seconds=10)
    store.restore([Logged(b"old", 1, "x", at_ms=NOW_MS - 10_001), Logged(b"new", 2, "x", at_ms=NOW_MS)], reached=1)
    assert list(visible(store)) == [b"new"]


def on_disk(path: Path) -> int:
    """Return the size of what is stored; a file may go while it is looked at."""
    size = 0
    for file in path.glob("*.sst"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def test_expired_entries_leave_the_disk_though_their_keys_ascend_with_time(opened: Open, folder: Path) -> None:
    store = opened(folder / "seen", ttl_seconds=1)
    began, number, sizes = time.monotonic(), 0, list[int]()
    while (passed := time.monotonic() - began) < 6:
        run = [(b"%016d" % one, entry(one, "x" * 40)) for one in range(number, number + 500)]
        number += len(run)
        store.write(Changes(run, []), reached=number)
        if passed > 3:
            sizes.append(on_disk(folder / "seen"))
        time.sleep(0.005)  # writes at a steady pace are what this is about
    written = number * (16 + len(entry(number, "x" * 40)))
    assert max(sizes) < 3 * written / 6
