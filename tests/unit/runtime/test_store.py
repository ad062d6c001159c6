"""The databases of a table as Faust sees them: restored from runs, discarded when damaged, closed when revoked."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.runtime.app import StreamApp
from streams.runtime.entries import Changes, Entry, encode
from streams.runtime.partition_store import StateDamaged, StateUnavailable, StateUnreadable, is_damage
from streams.runtime.store import StateStore
from streams.runtime.tables import StateTable

LOG = TP("numbers-log", 0)


@pytest.fixture
def store(state_app: StreamApp) -> StateStore:
    return state_app.state("numbers", int, changelog="numbers-log").store


@pytest.fixture
def crashes(state_app: StreamApp, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What the app was crashed with."""
    found: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        found.append(reason)

    monkeypatch.setattr(state_app, "crash", crash)
    return found


def record(offset: int, key: bytes, value: bytes | None = None) -> Any:
    value = encode(Entry({"in": offset}, offset)) if value is None else value
    return SimpleNamespace(offset=offset, key=key, value=value, headers=(), tp=LOG)


def run(*records: Any) -> Any:
    """Return a run as Faust hands it to the store."""
    return SimpleNamespace(message=SimpleNamespace(tp=LOG, offset=records[-1].offset, value=list(records)))


def single(one: Any) -> Any:
    return SimpleNamespace(message=one)


def apply(store: StateStore, *events: Any) -> None:
    store.apply_changelog_batch(events, lambda key: key, lambda value: value)


def many(store: StateStore) -> None:
    """Write enough for files on disk, and close."""
    changes = Changes([(b"%06d" % key, encode(Entry({"in": key}, os.urandom(60)))) for key in range(20_000)], [])
    store.partition(0).write(changes, reached=19_999)
    store.revoke_partitions(store.table, {LOG})


def test_runs_and_single_records_restore_the_same(store: StateStore) -> None:
    told: list[tuple[int, int, int]] = []

    def tell(partition: int, records: int, offset: int) -> None:
        told.append((partition, records, offset))

    store.on_restored.append(tell)
    apply(store, run(record(0, b"a"), record(1, b"b")), single(record(2, b"c")), single(record(3, b"a")))
    apply(store, run(record(4, b"d")))
    assert [key for key, _ in store.partition(0).between(b"")] == [b"a", b"b", b"c", b"d"]
    assert store.persisted_offset(LOG) == 4
    assert store.restored[0] == 5
    assert told == [(0, 4, 3), (0, 1, 4)]


async def test_an_unreadable_changelog_record_stops_the_worker_and_nothing_after_it_is_applied(
    store: StateStore, crashes: list[BaseException], settle: Callable[[], Any]
) -> None:
    apply(store, run(record(0, b"a")))
    with pytest.raises(
        StateUnreadable, match=r"'numbers', changelog numbers-log, partition 0: .* offset 1 .*Run the v"
    ):
        apply(store, run(record(1, b"b", b"garbage")))
    apply(store, run(record(2, b"c")))
    await settle()
    assert [type(reason) for reason in crashes] == [StateUnreadable]
    assert store.persisted_offset(LOG) == 0
    with pytest.raises(StateUnavailable):
        store.partition(0)


def test_a_revoked_partition_is_closed_and_can_be_opened_by_another(store: StateStore) -> None:
    partition = store.partition(0)
    partition.write(Changes([(b"a", encode(Entry({"in": 1}, 1)))], []), reached=0)
    store.revoke_partitions(store.table, {TP("other", 0)})
    assert partition.get(b"a")
    store.revoke_partitions(store.table, {LOG})
    with pytest.raises(StateUnavailable):
        partition.get(b"a")
    assert store.partition(0).get(b"a")


def test_a_folder_that_was_deleted_is_restored_from_the_beginning(store: StateStore) -> None:
    many(store)
    store.reset_state()
    assert store.persisted_offset(LOG) is None


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    return os.urandom(len(content))


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [truncated, garbage, empty, None])
@pytest.mark.parametrize("file", ["*.sst", "CURRENT"])
def test_a_database_that_is_damaged_is_discarded_and_restored_from_the_beginning(
    store: StateStore, file: str, damage: Callable[[bytes], bytes] | None, caplog: pytest.LogCaptureFixture
) -> None:
    many(store)
    for path in store.partition_path(0).glob(file):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage(path.read_bytes()))
    assert store.persisted_offset(LOG) is None
    assert store.partition(0).between(b"") == []
    assert caplog.text.count("state_discarded") == 1


async def test_damage_that_a_read_finds_stops_the_worker_and_the_next_one_restores(
    store: StateStore, state_app: StreamApp, crashes: list[BaseException], settle: Callable[[], Any]
) -> None:
    many(store)
    (path,) = store.partition_path(0).glob("*.sst")
    content = path.read_bytes()
    middle = len(content) // 3
    path.write_bytes(content[:middle] + os.urandom(300) + content[middle + 300 :])
    with pytest.raises(StateDamaged):
        store.partition(0).between(b"")
    with pytest.raises(StateUnavailable):
        store.partition(0)
    await settle()
    assert len(crashes) == 1
    await store.stop()

    restarted = StateTable(state_app, "again", int, changelog="again-log").store
    restarted.table_name = "numbers"
    assert restarted.partition(0).reached is None
    assert restarted.partition(0).between(b"") == []


def test_a_locked_or_full_disk_is_not_damage() -> None:
    assert not is_damage("IO error: lock hold by current process: db/LOCK: No locks available")
    assert not is_damage("IO error: No space left on device: While appending to file: db/000012.sst")
    assert not is_damage("DB instance already closed")
    assert is_damage("Corruption: block checksum mismatch")
    assert is_damage("IO error: No such file or directory: While opening a file for sequentially reading: MANIFEST-5")


def test_tables_with_and_without_expiry_lie_in_folders_of_their_own(state_app: StreamApp) -> None:
    """Their formats differ: one cannot be opened as the other."""
    one = state_app.state("one", int, changelog="one-log").store.partition_path(0)
    two = state_app.state("two", int, changelog="two-log", ttl_seconds=5).store.partition_path(0)
    assert (one.suffix, two.suffix) == (".state", ".expiring")
