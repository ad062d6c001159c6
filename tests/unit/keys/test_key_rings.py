"""Where master keys come from: a file that is made once, a variable, KMS."""

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from connectors.keys import SQLiteKeyStore, UserKeys
from connectors.keys.kms import Kms
from connectors.keys.master import KEY_BYTES, new_entry, ring_line
from connectors.keys.rings import KeyRing, add_line
from connectors.sinks.errors import Fatal, Unavailable

FIRST = ring_line(new_entry())


class KmsStandIn:
    """Stands for boto3's client: encrypts by turning bytes around, and refuses what is of another purpose."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails: Exception | None = None

    def generate_data_key_without_plaintext(self, *, KeyId: str, KeySpec: str, EncryptionContext: Any) -> Any:  # noqa: N803
        assert (KeyId, KeySpec, EncryptionContext) == ("alias/us", "AES_256", {"purpose": "travelos master key"})
        return {"CiphertextBlob": b"kms" + bytes(range(KEY_BYTES))}

    def decrypt(self, *, CiphertextBlob: bytes, KeyId: str, EncryptionContext: Any) -> Any:  # noqa: N803
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        assert (KeyId, EncryptionContext) == ("alias/us", {"purpose": "travelos master key"})
        if not CiphertextBlob.startswith(b"kms"):
            raise ClientError({"Error": {"Code": "InvalidCiphertextException"}}, "Decrypt")
        return {"Plaintext": CiphertextBlob.removeprefix(b"kms")[::-1]}


@pytest.fixture
def store(tmp_path: Path) -> Generator[SQLiteKeyStore]:
    store = SQLiteKeyStore(tmp_path / "user-keys.db")
    store.open()
    yield store
    store.close()


def test_the_first_start_makes_a_master_key_of_the_owner_alone(store: SQLiteKeyStore, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.keys"
    made = KeyRing(path=path, may_make=True).read(store)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyRing(path=path).read(store).newest == made.newest
    assert [one.name for one in path.parent.iterdir()] == ["master.keys"]


def test_workers_that_start_at_once_make_one_master_key(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"

    def start(_: int) -> str:
        store = SQLiteKeyStore(tmp_path / "user-keys.db")
        store.open()
        try:
            return KeyRing(path=path, may_make=True).read(store).newest
        finally:
            store.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


def test_a_mistyped_path_makes_no_key(store: SQLiteKeyStore, tmp_path: Path) -> None:
    path = tmp_path / "mistyped.keys"
    with pytest.raises(Fatal, match=r"`keys\.master_file` .*mistyped\.keys is not there.*new-master"):
        KeyRing(path=path).read(store)
    assert not path.exists()


@pytest.mark.parametrize("destroyed", [False, True])
def test_no_new_master_key_is_made_where_users_keys_exist(
    store: SQLiteKeyStore, tmp_path: Path, *, destroyed: bool
) -> None:
    path = tmp_path / "master.keys"
    ring = KeyRing(path=path, may_make=True)
    keys = UserKeys(store, ring.read)
    keys.get_or_create(["ann"])
    if destroyed:
        keys.destroy(["ann"])
    path.rename(tmp_path / "away")
    with pytest.raises(Fatal, match="put it back"):
        ring.read(store)
    assert not path.exists()


def test_a_ring_without_the_master_key_of_users_keys_is_refused_at_the_start(
    store: SQLiteKeyStore, tmp_path: Path
) -> None:
    path = tmp_path / "master.keys"
    first = KeyRing(path=path, may_make=True).read(store).newest
    UserKeys(store, KeyRing(path=path).read).get_or_create(["ann"])
    other = KeyRing(text=FIRST, path=path)
    with pytest.raises(Fatal, match=rf"{first}, which `keys\.master_keys` does not have"):
        UserKeys(store, other.read).open()


def test_a_worker_that_meets_a_key_of_a_master_key_it_lacks_goes_on_when_its_ring_has_it(
    store: SQLiteKeyStore, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.keys", tmp_path / "theirs.keys"
    for path in (ours, theirs):
        add_line(path, FIRST)
    second = ring_line(new_entry())
    worker = UserKeys(store, KeyRing(path=ours).read)
    worker.open()
    add_line(theirs, second)
    other = UserKeys(SQLiteKeyStore(store.path), KeyRing(path=theirs).read)
    sealed = other.get_or_create(["ann"])["ann"]
    other.close()
    with pytest.raises(Fatal, match=rf"{second.partition(':')[0]}, which .*ours\.keys.* does not have"):
        worker.get_or_create(["ann"])
    add_line(ours, second)
    found = worker.get_or_create(["ann"])["ann"]
    assert sealed is not None
    assert found is not None
    assert found.key_id == sealed.key_id


def test_a_ring_in_a_variable_needs_no_file(store: SQLiteKeyStore, tmp_path: Path) -> None:
    second = ring_line(new_entry())
    ring = KeyRing(text=f"{FIRST.strip()},{second.strip()}", path=tmp_path / "none")
    assert ring.read(store).newest == second.partition(":")[0]


def test_rings_in_variables_are_rotated_by_two_rolling_restarts_and_each_worker_reads_what_the_others_seal(
    store: SQLiteKeyStore, tmp_path: Path
) -> None:
    """A process keeps its variable: first all learn of the new master key, then it wraps."""
    old, new = FIRST.strip(), ring_line(new_entry()).strip()
    rings = [old, f"{new},{old}", f"{old},{new}"]
    for before, after in pairwise(rings):
        workers = [
            UserKeys(SQLiteKeyStore(store.path), KeyRing(text=text, path=tmp_path / "none").read)
            for text in (before, after)
        ]
        for writer, reader in (workers, workers[::-1]):
            user = f"user of {len(store.page('', 10))}"
            sealed = writer.get_or_create([user])[user]
            found = reader.get([user])[user]
            assert sealed is not None
            assert found is not None
            assert found.unseal("email", sealed.seal("email", f"{user}@example.org", "e")) == f"{user}@example.org"
        for one in workers:
            one.close()
    rotating = UserKeys(SQLiteKeyStore(store.path), KeyRing(text=rings[-1], path=tmp_path / "none").read)
    assert rotating.rewrap() == 3
    rotating.close()
    assert store.masters() == {new.partition(":")[0]}


def test_a_line_is_added_behind_a_file_without_a_last_newline(store: SQLiteKeyStore, tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    path.write_text(FIRST.strip())
    second = ring_line(new_entry())
    assert add_line(path, second)
    assert path.read_text() == FIRST + second
    assert not add_line(path, FIRST, new=True)
    assert KeyRing(path=path).read(store).newest == second.partition(":")[0]


def test_lines_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    lines = [ring_line(new_entry()) for _ in range(32)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(partial(add_line, path), lines))
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines)
    assert [one.name for one in tmp_path.iterdir()] == ["master.keys"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_ring_keeps_its_mode_and_owner_and_is_reached_through_a_link(tmp_path: Path, mode: int) -> None:
    ring, link = tmp_path / "elsewhere" / "ring", tmp_path / "master.keys"
    ring.parent.mkdir()
    ring.write_text(FIRST)
    ring.chmod(mode)
    os.chown(ring, -1, other_group(ring))
    link.symlink_to(ring)
    before = ring.stat()
    second = ring_line(new_entry())
    assert add_line(link, second)
    after = ring.stat()
    assert link.is_symlink()
    assert ring.read_text() == FIRST + second
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (mode, before.st_uid, before.st_gid)


def other_group(path: Path) -> int:
    """Return a group that a file may be given, another one where there is one."""
    own = path.stat().st_gid
    return own + 1 if os.geteuid() == 0 else next((group for group in os.getgroups() if group != own), own)


def test_what_is_no_ring_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    path.write_text("# cl\u00e9s\n" + FIRST)
    with pytest.raises(Fatal, match=r"master\.keys is no ring of master keys"):
        add_line(path, FIRST)
    assert path.read_text() == "# cl\u00e9s\n" + FIRST
    assert [one.name for one in tmp_path.iterdir()] == ["master.keys"]


def test_master_keys_that_kms_encrypted_are_decrypted_once(store: SQLiteKeyStore, tmp_path: Path) -> None:
    client = KmsStandIn()
    kms = Kms(client, "alias/us")
    path = tmp_path / "master.keys"
    add_line(path, ring_line(new_entry()._replace(id="k1", material=kms.new_material())))
    ring = KeyRing(path=path, decrypt=kms.decrypt)
    assert ring.read(store).newest == ring.read(store).newest == "k1"
    assert client.asked == 1
    plain = KeyRing(path=path)
    with pytest.raises(Fatal, match="35 bytes instead of 32"):  # what is in the file is no key without KMS
        plain.read(store)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Decrypt"), Fatal, r"AccessDenied.*keys\.kms_key"),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "Decrypt"), Unavailable, "Throttling"),
        (EndpointConnectionError(endpoint_url="https://kms"), Unavailable, "does not answer"),
        (NoCredentialsError(), Fatal, r"credentials.*keys\.kms_key"),
    ],
    ids=["refused", "throttled", "away", "no credentials"],
)
def test_what_kms_says_is_waited_for_or_told(error: Exception, kind: type[Exception], said: str) -> None:
    client = KmsStandIn()
    client.fails = error
    with pytest.raises(kind, match=said):
        Kms(client, "alias/us").decrypt(b"kms")
