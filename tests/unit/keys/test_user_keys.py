"""Users' keys in a file: made once, remembered for a while, destroyed for good."""

import random
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.keys import DataKey, KeyStore, MasterKeys, NotSealedHere, SQLiteKeyStore, StoredKey, UserKeys
from connectors.keys.master import KEY_BYTES, read_ring
from connectors.sinks.errors import Fatal, Unavailable
from schemas.sensitive import Sealed

OLD, NEW = {"old": b"o" * KEY_BYTES}, {"old": b"o" * KEY_BYTES, "new": b"n" * KEY_BYTES}
TEXTS = st.text(max_size=256)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class CountedStore(SQLiteKeyStore):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[list[str]] = []

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        self.asked.append(list(user_ids))
        return super().get(user_ids)


class Setting:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.ring = OLD
        self.clock = Clock()
        self.opened: list[UserKeys] = []

    def worker(self, entries: int = 100) -> UserKeys:
        store = CountedStore(self.path)
        keys = UserKeys(
            store,
            lambda _: MasterKeys(self.ring, "keys.master_file"),
            cache_entries=entries,
            cache_seconds=60,
            now=self.clock,
        )
        keys.open()
        self.opened.append(keys)
        return keys

    def store(self) -> SQLiteKeyStore:
        store = SQLiteKeyStore(self.path)
        store.open()
        return store


@pytest.fixture
def setting(tmp_path: Path) -> Generator[Setting]:
    setting = Setting(tmp_path / "keys" / "user-keys.db")
    yield setting
    for keys in setting.opened:
        keys.close()


def key(keys: UserKeys, user_id: str) -> DataKey:
    found = keys.get_or_create([user_id])[user_id]
    assert found is not None
    return found


def test_workers_that_make_a_key_for_the_same_user_have_the_same_key(setting: Setting) -> None:
    first, second = setting.worker(), setting.worker()
    sealed = key(first, "ann").seal("email", "ann@example.org", "e1")
    assert key(second, "ann").unseal("email", sealed) == "ann@example.org"


def test_who_comes_first_stays_also_when_two_add_at_once(setting: Setting) -> None:
    with_key = StoredKey(user_id="ann", key_id="k1", master="old", wrapped=b"1")
    other = StoredKey(user_id="ann", key_id="k2", master="old", wrapped=b"2")
    store = setting.store()
    assert store.add([with_key]) == {"ann": with_key}
    assert store.add([other]) == {"ann": with_key}
    store.close()


def test_a_destroyed_key_is_never_made_again_unless_the_user_starts_afresh(setting: Setting) -> None:
    keys = setting.worker()
    before = key(keys, "ann")
    sealed = before.seal("email", "ann@example.org", "e1")
    keys.destroy(["ann", "never seen"])
    assert keys.get_or_create(["ann", "never seen"]) == {"ann": None, "never seen": None}
    keys.start_afresh(["ann"])
    after = key(keys, "ann")
    assert after.key_id != before.key_id
    with pytest.raises(NotSealedHere):
        after.unseal("email", sealed)
    assert keys.get(["never seen"]) == {"never seen": None}


def test_whoever_starts_afresh_when_the_old_key_is_used_nowhere_has_a_new_one_everywhere(setting: Setting) -> None:
    sealing, erasing = setting.worker(), setting.worker()
    before = key(sealing, "ann").key_id
    erasing.destroy(["ann", "bob"])
    setting.clock.seconds = 59.9
    assert sealing.get_or_create(["bob"]) == {"bob": None}
    setting.clock.seconds = 60
    erasing.start_afresh(["ann", "bob"])
    assert key(sealing, "ann").key_id not in {before, ""}
    assert key(sealing, "bob").key_id == key(erasing, "bob").key_id


def test_a_user_who_starts_afresh_while_others_make_their_key_has_one(setting: Setting) -> None:
    class Between(SQLiteKeyStore):
        added = 0

        def add(self, keys: Sequence[StoredKey]) -> dict[str, StoredKey]:
            self.added += 1
            if self.added > 1:
                return super().add(keys)
            users = [one.user_id for one in keys]
            self.destroy(users)
            super().add(keys)
            self.start_afresh(users)
            return self.get(users)

    keys = UserKeys(Between(setting.path), lambda _: MasterKeys(OLD, "keys.master_file"))
    setting.opened.append(keys)
    assert key(keys, "ann").key_id == key(setting.worker(), "ann").key_id


def test_starting_afresh_leaves_a_key_that_stands_alone(setting: Setting) -> None:
    keys = setting.worker()
    before = key(keys, "ann").key_id
    keys.start_afresh(["ann"])
    assert key(keys, "ann").key_id == before


def test_a_destroyed_key_is_used_nowhere_after_the_lifetime_of_the_caches(setting: Setting) -> None:
    sealing, erasing = setting.worker(), setting.worker()
    assert key(sealing, "ann")
    erasing.destroy(["ann"])
    setting.clock.seconds = 59.9
    assert sealing.get(["ann"])["ann"] is not None
    setting.clock.seconds = 60
    assert sealing.get(["ann"]) == {"ann": None}
    assert erasing.get(["ann"]) == {"ann": None}


def test_a_key_is_destroyed_while_the_master_keys_are_away(setting: Setting) -> None:
    def away(_: KeyStore) -> MasterKeys:
        raise Unavailable("KMS does not answer")

    assert key(setting.worker(), "ann")
    erasing = UserKeys(SQLiteKeyStore(setting.path), away)
    setting.opened.append(erasing)
    erasing.destroy(["ann", "bob"])
    erasing.start_afresh(["bob"])
    assert setting.worker().get(["ann", "bob"]) == {"ann": None}


def test_a_destroyed_key_is_in_no_byte_of_the_files(setting: Setting) -> None:
    keys, store = setting.worker(), setting.store()
    keys.get_or_create([f"user {number}" for number in range(200)])
    wrapped = store.get(["user 7"])["user 7"].wrapped
    other = store.get(["user 8"])["user 8"].wrapped
    assert wrapped is not None
    assert other is not None
    keys.destroy(["user 7"])
    files = {path.name: path.read_bytes() for path in setting.path.parent.iterdir()}
    assert [name for name, data in files.items() if wrapped in data] == []
    assert [name for name, data in files.items() if other in data] == [setting.path.name]
    store.close()


def test_destroyed_keys_are_in_no_byte_of_the_files_however_the_others_came(setting: Setting) -> None:
    store, order = setting.store(), random.Random(11)  # a page that is split keeps copies behind its rows: of three
    users = [f"{'u' * order.randrange(40)}{number}" for number in range(6_000)]
    order.shuffle(users)
    wrapped = {user: order.randbytes(60) for user in users}
    begin = 0
    while begin < len(users):
        some = users[begin : begin + order.randint(1, 1_000)]
        store.add([StoredKey(user_id=user, key_id="k1", master="old", wrapped=wrapped[user]) for user in some])
        begin += len(some)
    gone, left = users[:-10], users[-10:]
    store.destroy(gone)
    data = b"".join(path.read_bytes() for path in setting.path.parent.iterdir())
    assert [user for user in gone if wrapped[user] in data] == []
    assert [user for user in left if wrapped[user] not in data] == []
    assert all(one.destroyed for one in store.get(gone).values())
    assert {user: one.wrapped for user, one in store.get(left).items()} == {user: wrapped[user] for user in left}
    store.close()


def test_what_is_remembered_needs_no_look_and_is_bounded(setting: Setting) -> None:
    keys = setting.worker(entries=2)
    keys.get_or_create(["ann", "bob"])
    assert set(keys.remembered(["ann", "bob"]) or ()) == {"ann", "bob"}
    keys.get_or_create(["cid"])
    assert keys.remembered(["ann"]) is None
    assert keys.remembered(["bob", "cid"]) is not None
    assert keys.remembered(["bob", "dan"]) is None


def test_many_keys_are_got_with_one_question(setting: Setting) -> None:
    keys = setting.worker()
    users = [f"user {number}" for number in range(1_500)]
    assert keys.get_or_create(users).keys() == set(users)
    store = CountedStore(setting.path)
    again = UserKeys(store, lambda _: MasterKeys(OLD, "keys.master_file"))
    again.open()
    assert all(again.get(users).values())
    assert store.asked == [users]
    again.close()


def test_a_user_who_never_had_a_key_is_told_from_one_whose_key_is_destroyed(setting: Setting) -> None:
    keys = setting.worker()
    keys.destroy(["ann"])
    assert keys.get(["ann", "bob"]) == {"ann": None}


def test_a_rotation_goes_on_under_workers_that_do_not_know_of_it(setting: Setting) -> None:
    sealing = setting.worker()
    sealed = key(sealing, "ann").seal("email", "ann@example.org", "e1")
    key(sealing, "bob")
    setting.ring = NEW
    rotating = setting.worker()
    assert rotating.rewrap() == 2
    assert rotating.rewrap() == 0
    setting.clock.seconds = 60
    # It finds a master key that it does not know, and reads the ring again.
    assert key(sealing, "ann").unseal("email", sealed) == "ann@example.org"
    setting.ring = {"new": NEW["new"]}
    assert key(setting.worker(), "ann").unseal("email", sealed) == "ann@example.org"


def test_a_worker_that_meets_only_new_users_wraps_with_the_newest_master_key_after_the_lifetime_of_the_caches(
    setting: Setting,
) -> None:
    sealing, store = setting.worker(), setting.store()
    setting.ring = NEW
    setting.clock.seconds = 59.9
    key(sealing, "ann")
    setting.clock.seconds = 60
    key(sealing, "bob")
    assert {one.user_id: one.master for one in store.page("", 10)} == {"ann": "old", "bob": "new"}
    store.close()


def test_a_rotation_takes_in_users_who_come_behind_it(setting: Setting) -> None:
    sealing = setting.worker()
    key(sealing, "bob")
    setting.ring = NEW

    class Overtaken(SQLiteKeyStore):
        def rewrap(self, keys: Sequence[StoredKey]) -> int:
            key(sealing, "ann")  # it does not know the newest master key yet
            return super().rewrap(keys)

    rotating = UserKeys(Overtaken(setting.path), lambda _: MasterKeys(NEW, "keys.master_file"))
    setting.opened.append(rotating)
    assert rotating.rewrap() == 2
    store = setting.store()
    assert store.masters() == {"new"}
    store.close()


def test_a_key_that_is_destroyed_in_a_rotation_stays_destroyed(setting: Setting) -> None:
    keys, store = setting.worker(), setting.store()
    key(keys, "ann")
    page = store.page("", 10)
    keys.destroy(["ann"])
    assert store.rewrap(page) == 0
    assert store.get(["ann"])["ann"].destroyed
    store.close()


def test_a_master_key_that_is_missing_is_waited_for_and_a_wrong_one_is_an_error(setting: Setting) -> None:
    key(setting.worker(), "ann")
    setting.ring = {"other": b"x" * KEY_BYTES}
    with pytest.raises(Unavailable, match=r"'old'.*`keys\.master_file`"):
        setting.worker().get(["ann"])
    setting.ring = {"old": b"x" * KEY_BYTES}
    with pytest.raises(Fatal, match=r"'old'.*put back"):
        setting.worker().get(["ann"])


def test_a_wrapped_key_opens_for_its_user_only(setting: Setting) -> None:
    masters = MasterKeys(OLD, "keys.master_file")
    wrapped = masters.wrap(b"k" * KEY_BYTES, "ann", "k1")
    assert masters.unwrap(wrapped, "ann", "k1") == b"k" * KEY_BYTES
    for user_id, key_id in (("bob", "k1"), ("ann", "k2")):
        with pytest.raises(Fatal):
            masters.unwrap(wrapped, user_id, key_id)


@given(value=TEXTS, field=TEXTS, event_id=TEXTS)
def test_what_is_sealed_opens_again_and_a_replay_seals_the_same(value: str, field: str, event_id: str) -> None:
    data_key = DataKey("ann", "k1", b"s" * KEY_BYTES)
    sealed = data_key.seal(field, value, event_id)
    assert data_key.unseal(field, sealed) == value
    assert data_key.seal(field, value, event_id) == sealed


@given(value=TEXTS, bit=st.integers(0, 7), at=st.integers(0))
def test_a_value_that_was_altered_or_moved_does_not_open(value: str, bit: int, at: int) -> None:
    data_key = DataKey("ann", "k1", b"s" * KEY_BYTES)
    sealed = data_key.seal("email", value, "e1")
    altered = bytearray(sealed.data)
    altered[at % len(altered)] ^= 1 << bit
    others = [
        (data_key, "phone", sealed),
        (DataKey("bob", "k1", b"s" * KEY_BYTES), "email", sealed),
        (data_key, "email", Sealed("k1", bytes(altered))),
        (data_key, "email", Sealed("k1", sealed.data[: at % len(sealed.data)])),
    ]
    for other, field, data in others:
        with pytest.raises(NotSealedHere):
            other.unseal(field, data)


def test_the_same_value_looks_different_in_each_event() -> None:
    data_key = DataKey("ann", "k1", b"s" * KEY_BYTES)
    assert data_key.seal("email", "ann@example.org", "e1") != data_key.seal("email", "ann@example.org", "e2")


def test_a_blind_index_is_found_after_a_rotation() -> None:
    before, after = MasterKeys(OLD, "keys.master_file"), MasterKeys(NEW, "keys.master_file")
    assert before.index("email", "ann@example.org") in set(after.indexes("email", "ann@example.org"))
    assert next(after.indexes("email", "ann@example.org")) == after.index("email", "ann@example.org")
    assert before.index("phone", "ann@example.org") != before.index("email", "ann@example.org")


@pytest.mark.parametrize("text", ["", "# none", "a", "a:", "a:!!", "a b:AAAA", "a:AAAA\na:AAAA"])
def test_a_ring_that_cannot_be_read_is_an_error_with_its_option(text: str) -> None:
    with pytest.raises(Fatal, match=r"`keys\.master_keys`"):
        read_ring(text, "keys.master_keys")


def test_a_master_key_of_another_length_is_an_error_that_does_not_show_it() -> None:
    ring = read_ring("a:c2VjcmV0", "keys.master_keys")
    with pytest.raises(Fatal, match="6 bytes instead of 32") as error:
        MasterKeys(dict(ring), "keys.master_keys")
    assert "secret" not in str(error.value)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "user-keys.db"
    path.write_bytes(b"no database, but text" * 100)
    with pytest.raises(Fatal, match="put back its backup"):
        SQLiteKeyStore(path).open()
    assert path.read_bytes().startswith(b"no database")


def test_the_file_is_of_the_owner_alone(setting: Setting) -> None:
    setting.worker()
    assert setting.path.stat().st_mode & 0o777 == 0o600
