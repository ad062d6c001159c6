"""Users' keys in a real PostgreSQL."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from connectors.keys import MasterKeys, StoredKey, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.keys.postgres import PostgresKeyStore
from connectors.sinks.errors import Fatal, Unavailable
from deploy.local.postgres import PostgresServer

pytestmark = pytest.mark.integration

USERS = [f"user {number}" for number in range(300)]


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> str:
    name = f"k{uuid4().hex}"
    postgres_server.create_database(name)
    return postgres_server.dsn(name)


@pytest.fixture
def store(dsn: str) -> Generator[PostgresKeyStore]:
    store = PostgresKeyStore(dsn)
    store.open()
    yield store
    store.close()


def stored(user_id: str, key_id: str = "k1", wrapped: bytes = b"wrapped") -> StoredKey:
    return StoredKey(user_id=user_id, key_id=key_id, master="m1", wrapped=wrapped)


def files_of(dsn: str) -> bytes:
    """Return what stands in the files of a database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        (oid,) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or (0,)
    return b"".join(path.read_bytes() for path in (Path(folder) / "base" / str(oid)).iterdir() if path.is_file())


def test_who_comes_first_stays_and_a_destroyed_key_is_not_made_again(store: PostgresKeyStore) -> None:
    assert store.empty()
    ann, other, bob = stored("ann"), stored("ann", "k2"), stored("bob")
    assert store.add([bob, ann]) == {"ann": ann, "bob": bob}
    assert store.add([other]) == {"ann": ann}
    store.destroy(["ann", "never seen", "ann"])
    assert store.get(["ann"])["ann"].destroyed
    assert store.add([other])["ann"].destroyed
    assert store.get(["never seen", "nobody"]).keys() == {"never seen"}
    assert store.page("", 10) == [bob]
    assert not store.empty()
    store.start_afresh(["ann", "bob"])
    assert store.add([other, stored("bob", "k9")]) == {"ann": other, "bob": bob}


def test_keys_are_rewrapped_page_by_page_and_those_that_are_gone_or_others_stay(store: PostgresKeyStore) -> None:
    store.add([stored(user) for user in USERS])
    first = store.page("", 100)
    assert [one.user_id for one in first] == sorted(USERS)[:100]
    assert store.page(first[-1].user_id, 1)[0].user_id == sorted(USERS)[100]
    store.destroy([first[0].user_id])
    new = [StoredKey(user_id=one.user_id, key_id=one.key_id, master="m2", wrapped=b"new") for one in first]
    assert store.rewrap([*new, stored(USERS[-1], "another key")]) == 99
    assert store.masters() == {"m1", "m2"}


def test_workers_that_make_keys_for_the_same_users_at_once_have_the_same_keys(dsn: str) -> None:
    def worker(number: int) -> dict[str, str]:
        keys = UserKeys(PostgresKeyStore(dsn), lambda _: MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_file"))
        found = keys.get_or_create(USERS if number % 2 else USERS[::-1])
        keys.close()
        return {user: key.key_id for user, key in found.items() if key is not None}

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(worker, range(4))
    assert len(first) == len(USERS)
    assert all(one == first for one in others)


def test_a_destroyed_key_is_in_no_file_of_the_table(store: PostgresKeyStore, dsn: str) -> None:
    marks = {user: uuid4().bytes * 3 for user in USERS}
    store.add([stored(user, wrapped=mark) for user, mark in marks.items()])
    store.rewrap([stored(USERS[7], wrapped=marks[USERS[7]])])  # leaves another copy of it behind
    store.destroy([USERS[7]])
    held = files_of(dsn)
    assert marks[USERS[7]] not in held
    assert marks[USERS[8]] in held


def test_a_transaction_that_began_before_a_destruction_keeps_no_key_in_the_table(
    store: PostgresKeyStore, dsn: str
) -> None:
    marks = {user: uuid4().bytes * 3 for user in USERS}
    store.add([stored(user, wrapped=mark) for user, mark in marks.items()])
    with psycopg.connect(dsn) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT 1")  # takes its snapshot, and reads none of our tables
        store.destroy([USERS[7]])
        held = files_of(dsn)
    assert marks[USERS[7]] not in held
    assert marks[USERS[8]] in held
    assert store.get(USERS[7:9]) == {
        USERS[7]: StoredKey(user_id=USERS[7]),
        USERS[8]: stored(USERS[8], wrapped=marks[USERS[8]]),
    }
    assert store.add([stored(USERS[8], "k2")])[USERS[8]].key_id == "k1"  # the index of users is there


def test_a_connection_that_is_cut_is_opened_anew(store: PostgresKeyStore, dsn: str) -> None:
    store.add([stored("ann")])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    with pytest.raises(Unavailable):
        store.get(["ann"])
    assert store.get(["ann"]) == {"ann": stored("ann")}


def test_a_wrong_address_is_an_error_that_names_the_option_and_no_password(dsn: str) -> None:
    with pytest.raises(Fatal, match=r"`keys\.url`") as error:
        PostgresKeyStore("postgresql://who:secret@/nowhere?port=x").open()
    assert "secret" not in str(error.value)
    with pytest.raises(Fatal, match=r"`keys\.url`"):
        PostgresKeyStore(make_conninfo(dsn, dbname="is not there")).open()
