"""Contents of writes, sealed and opened: the same again for whoever has the key, and nothing for anybody else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from connectors.keys import DataKey, NotSealedHere
from connectors.keys.contents import WriteSeal, opened_write, owners_of, sealed_write
from connectors.keys.master import KEY_BYTES
from connectors.sinks.undo import emptied
from schemas.persons import persons_of
from schemas.sealed import CONTENT, SealedContent
from schemas.writes import (
    STORES,
    WRITE_TYPES,
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    SearchWrite,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
    decode_write,
    encode_write,
    key_of,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEYS = {"ann": DataKey("ann", "k1", b"a" * KEY_BYTES), "bob": DataKey("bob", "k2", b"b" * KEY_BYTES)}
COMMON: dict[str, Any] = {"version": 7, "source": "events", "event_id": "e1", "occurred_at": NOON}
SECRET = "see you at the pier"
WRITES: list[BaseWrite] = [
    GraphWrite(
        entity="VISITED:e1",
        relation="VISITED",
        start=NodeRef("User", "ann"),
        end=NodeRef("Place", "p"),
        properties={"note": SECRET, "rating": 4},
        **COMMON,
    ),
    VectorWrite(entity="message:m", namespace="conversations", values=b"\1\2", text=SECRET, **COMMON),
    SearchWrite(entity="note:n", kind="note", name=SECRET, lat=52.2, fields={"a": None}, **COMMON),
    TimeSeriesWrite(
        entity="gps", measurement="gps", tags={"user_id": "ann"}, time_ns=1, fields={"t": SECRET}, **COMMON
    ),
    ObjectWrite(entity="photo:p", key="photos/p", data=SECRET.encode(), metadata={"user_id": "ann"}, **COMMON),
    RelationalWrite(
        entity="messages:m", table="messages", key="m", columns={"text": SECRET, "tags": ["a"], "n": None}, **COMMON
    ),
    CacheWrite(entity="position:ann", key="position:ann", value="", ttl_seconds=60, **COMMON),
    WarehouseWrite(entity="e1", dataset="events", day=NOON.date(), user_id="ann", body={"text": SECRET}, **COMMON),
]


@pytest.mark.parametrize("write", WRITES, ids=STORES)
def test_what_was_sealed_is_the_same_again_and_unreadable_until_then(write: BaseWrite) -> None:
    sealed = sealed_write(write, "ann", KEYS)
    sent = encode_write(sealed)
    assert SECRET.encode() not in sent
    received = decode_write(sent)
    assert owners_of([received]) == ["ann"]
    assert opened_write(received, KEYS) == decode_write(encode_write(write))


@pytest.mark.parametrize("write", WRITES, ids=STORES)
def test_a_sealed_write_says_without_a_key_where_it_belongs_and_whom_it_is_about(write: BaseWrite) -> None:
    sealed = sealed_write(write, "ann", KEYS)
    assert key_of(sealed) == key_of(write)
    assert "ann" in persons_of(sealed)
    assert persons_of(sealed) >= persons_of(write)
    assert emptied(sealed) == emptied(write)  # the delete of it carries nothing sealed on


def test_every_field_that_is_content_is_one_of_its_store() -> None:
    assert {*CONTENT} == {*STORES}
    for store in STORES:
        assert {*CONTENT[store]} <= {*WRITE_TYPES[store].__struct_fields__}


def test_of_the_same_write_the_same_bytes_are_sealed_and_of_another_event_others() -> None:
    write = WRITES[5]
    assert sealed_write(write, "ann", KEYS) == sealed_write(write, "ann", KEYS)
    other = sealed_write(structs.replace(write, event_id="e2"), "ann", KEYS)
    assert other.sealed != sealed_write(write, "ann", KEYS).sealed


def test_what_is_sent_again_with_another_version_opens_as_well() -> None:
    again = structs.replace(sealed_write(WRITES[5], "ann", KEYS), version=9, event_id="e9", repair=True)
    opened = opened_write(again, KEYS)
    assert isinstance(opened, RelationalWrite)
    assert opened.columns["text"] == SECRET


@pytest.mark.parametrize("change", [{"entity": "messages:n"}, {"source": "cdc"}, {"sealed": "bob"}, {"sealed": "bits"}])
def test_a_content_that_was_altered_or_moved_does_not_open(change: dict[str, Any]) -> None:
    write = sealed_write(WRITES[5], "ann", KEYS)
    assert write.sealed is not None
    if change.get("sealed") == "bob":
        change = {"sealed": structs.replace(write.sealed, user_id="bob", key_id="k2")}
    elif change.get("sealed") == "bits":
        data = write.sealed.data
        change = {"sealed": structs.replace(write.sealed, data=data[:-1] + bytes([data[-1] ^ 1]))}
    with pytest.raises(NotSealedHere):
        opened_write(structs.replace(write, **change), KEYS)


@pytest.mark.parametrize("keys", [{"ann": None}, {}, {"ann": DataKey("ann", "k9", b"n" * KEY_BYTES)}])
def test_without_the_key_it_was_sealed_with_nobody_reads_it(keys: Any) -> None:
    assert opened_write(sealed_write(WRITES[5], "ann", KEYS), keys) is None


def test_of_somebody_whose_key_is_destroyed_nothing_is_kept() -> None:
    gone = sealed_write(WRITES[5], "ann", {"ann": None})
    assert gone.sealed == SealedContent(user_id="ann", key_id="erased", data=b"")
    assert SECRET.encode() not in encode_write(gone)
    assert opened_write(gone, {"ann": None}) is None


def test_a_delete_and_what_is_sealed_already_stay_as_they_are() -> None:
    delete = emptied(WRITES[5])
    sealed = sealed_write(WRITES[5], "ann", KEYS)
    assert WriteSeal(KEYS)("ann", [delete, sealed]) == [delete, sealed]
    assert WriteSeal(None)("ann", WRITES) == WRITES
