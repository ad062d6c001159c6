"""Reading sealed fields: many at once, and those whose key is gone."""

from collections.abc import Generator
from pathlib import Path

import pytest

from connectors.keys import MasterKeys, NotSealedHere, SQLiteKeyStore, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.keys.reading import GONE, Erased, FieldValue, unseal
from schemas.sensitive import ERASED, sealed_text


@pytest.fixture
def keys(tmp_path: Path) -> Generator[UserKeys]:
    keys = UserKeys(
        SQLiteKeyStore(tmp_path / "k.db"), lambda _: MasterKeys({"m": b"m" * KEY_BYTES}, "keys.master_file")
    )
    yield keys
    keys.close()


def field(keys: UserKeys, user: str, value: str) -> FieldValue:
    key = keys.get_or_create([user])[user]
    assert key is not None
    return FieldValue(user, "email", sealed_text(key.seal("email", value, "e1")))


def test_a_field_reads_as_what_was_sealed_or_as_erased(keys: UserKeys) -> None:
    values = [field(keys, user, f"{user}@example.org") for user in ("ann", "bob", "cid")]
    keys.destroy(["bob"])
    read = unseal(keys, [*values, FieldValue("dan", "email", sealed_text(ERASED))])
    assert read == ["ann@example.org", GONE, "cid@example.org", GONE]
    assert isinstance(read[1], Erased)


def test_what_was_sealed_before_a_user_started_afresh_stays_erased(keys: UserKeys) -> None:
    before = field(keys, "ann", "old@example.org")
    keys.destroy(["ann"])
    keys.start_afresh(["ann"])
    after = field(keys, "ann", "new@example.org")
    assert unseal(keys, [before, after]) == [GONE, "new@example.org"]


def test_what_is_plain_is_returned_as_it_is_and_asks_for_no_key(keys: UserKeys) -> None:
    assert unseal(keys, [FieldValue("ann", "email", "ann@example.org")]) == ["ann@example.org"]
    assert keys.get(["ann"]) == {}


def test_a_field_of_somebody_else_is_an_error_and_not_erased(keys: UserKeys) -> None:
    sealed = field(keys, "ann", "ann@example.org")
    with pytest.raises(NotSealedHere, match="phone"):
        unseal(keys, [sealed._replace(field="phone")])
