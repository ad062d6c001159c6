"""Golden bytes come from PostgreSQL 18: pg_logical_slot_get_binary_changes with proto_version 1 and messages."""

import struct
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.cdc.errors import MalformedMessage
from connectors.cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Truncate,
    Tuple,
    Type,
    Unchanged,
    Update,
    decode,
)

# 2026-11-21 03:28:34.480745 UTC, as the server logged it.
COMMITTED_US = 1_795_231_714_480_745

GOLDEN: dict[str, Message] = {
    "42000000002d144ba8000303bfb969b269000005a5": Begin(0x2D144BA8, COMMITTED_US, 1445),
    "4300000000002d144ba8000000002d144bd8000303bfb969b269": Commit(0x2D144BA8, 0x2D144BD8, COMMITTED_US),
    "59000045797075626c6963006d6f6f6400": Type(17785, "public", "mood"),
    "520000457d7075626c69630074006400040169640000000017ffffffff004e61206d6500000004130000000e00"
    "6269670000000019ffffffff006d0000004579ffffffff": Relation(
        17789,
        "public",
        "t",
        "d",
        (
            RelationColumn("id", 23, -1, identity=True),
            RelationColumn("Na me", 1043, 14, identity=False),
            RelationColumn("big", 25, -1, identity=False),
            RelationColumn("m", 17785, -1, identity=False),
        ),
    ),
    "490000457d4e00047400000001326e7400000001796e": Insert(17789, [b"2", None, b"y", None]),
    "550000457d4e00047400000001317400000001627574000000026f6b": Update(
        17789, None, old_is_full=False, new=[b"1", b"b", UNCHANGED, b"ok"]
    ),
    "550000457d4b00047400000001326e6e6e4e00047400000001336e7400000001796e": Update(
        17789, [b"2", None, None, None], old_is_full=False, new=[b"3", None, b"y", None]
    ),
    "55000045854f00027400000001317400000001784e0002740000000131740000000179": Update(
        17797, [b"1", b"x"], old_is_full=True, new=[b"1", b"y"]
    ),
    "440000457d4b00047400000001336e6e6e": Delete(17789, [b"3", None, None, None], old_is_full=False),
    "44000045854f0002740000000131740000000179": Delete(17797, [b"1", b"y"], old_is_full=True),
    "5400000002030000457d00004585": Truncate((17789, 17797), cascade=True, restart_identity=True),
    "4d01000000002d1465887066780000000007636f6e74656e74": LogicalMessage(
        transactional=True, lsn=0x2D146588, prefix="pfx", content=b"content"
    ),
}
GOLDEN_BYTES = [bytes.fromhex(text) for text in GOLDEN]


def encoded_tuple(values: Tuple) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if isinstance(value, Unchanged):
            parts.append(b"u")
        elif value is None:
            parts.append(b"n")
        else:
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
    return b"".join(parts)


tuples = st.lists(st.one_of(st.none(), st.just(UNCHANGED), st.binary(max_size=40)), max_size=12)
oids = st.integers(0, 2**32 - 1)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("text", GOLDEN)
def test_what_a_server_sent_is_read_exactly(text: str) -> None:
    assert decode(bytes.fromhex(text)) == GOLDEN[text]


@pytest.mark.parametrize("text", GOLDEN)
def test_a_message_is_read_behind_the_header_of_the_stream(text: str) -> None:
    assert decode(b"w" + bytes(24) + bytes.fromhex(text), 25) == GOLDEN[text]


def test_an_origin_is_read() -> None:
    assert decode(b"O" + struct.pack(">Q", 7) + b"elsewhere\0") == Origin(7, "elsewhere")


def test_a_system_table_has_its_schema() -> None:
    relation = decode(b"R" + struct.pack(">I", 1) + b"\0name\0d" + struct.pack(">H", 0))
    assert relation == Relation(1, "pg_catalog", "name", "d", ())


@given(oids, tuples)
def test_every_insert_survives_the_round_trip(oid: int, new: Tuple) -> None:
    assert decode(b"I" + struct.pack(">I", oid) + b"N" + encoded_tuple(new)) == Insert(oid, new)


@given(oids, st.none() | tuples, st.booleans(), tuples)
def test_every_update_survives_the_round_trip(oid: int, old: Tuple | None, full: bool, new: Tuple) -> None:
    full = full and old is not None
    before = b"" if old is None else (b"O" if full else b"K") + encoded_tuple(old)
    data = b"U" + struct.pack(">I", oid) + before + b"N" + encoded_tuple(new)
    assert decode(data) == Update(oid, old, full, new)


@given(oids, st.booleans(), tuples)
def test_every_delete_survives_the_round_trip(oid: int, full: bool, old: Tuple) -> None:
    data = b"D" + struct.pack(">I", oid) + (b"O" if full else b"K") + encoded_tuple(old)
    assert decode(data) == Delete(oid, old, full)


@given(oids, names, names, st.lists(st.tuples(names, oids, st.integers(-1, 2**31 - 1), st.booleans()), max_size=8))
def test_every_relation_survives_the_round_trip(
    oid: int, schema: str, name: str, columns: list[tuple[str, int, int, bool]]
) -> None:
    data = b"R" + struct.pack(">I", oid) + schema.encode() + b"\0" + name.encode() + b"\0f"
    data += struct.pack(">H", len(columns))
    for column, type_oid, typmod, identity in columns:
        data += bytes([identity]) + column.encode() + b"\0" + struct.pack(">Ii", type_oid, typmod)
    wanted = tuple(RelationColumn(*column) for column in columns)
    assert decode(data) == Relation(oid, schema or "pg_catalog", name, "f", wanted)


@given(st.binary(max_size=200))
@example(b"")
@example(b"I\0\0\0\0N\xff\xff")
@example(b"T\xff\xff\xff\xff\0")
def test_whatever_the_bytes_are_they_are_a_message_or_a_typed_error(data: bytes) -> None:
    with suppress(MalformedMessage):
        decode(data)


@given(st.sampled_from(GOLDEN_BYTES), st.integers(0, 100), st.integers(0, 255), st.data())
def test_a_damaged_message_is_a_message_or_a_typed_error(
    golden: bytes, place: int, byte: int, data: st.DataObject
) -> None:
    mangled = bytearray(golden)
    mangled[place % len(mangled)] = byte
    cut = data.draw(st.integers(0, len(mangled)))
    for candidate in (bytes(mangled), bytes(mangled[:cut]), bytes(mangled) + b"\0"):
        with suppress(MalformedMessage):
            decode(candidate)


@pytest.mark.parametrize("golden", GOLDEN_BYTES)
def test_no_part_of_a_message_is_taken_for_a_message(golden: bytes) -> None:
    for end in range(len(golden)):
        with pytest.raises(MalformedMessage):
            decode(golden[:end])
    with pytest.raises(MalformedMessage, match=r"bytes, its fields|truncate of"):
        decode(golden + b"\0")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"?", r"unknown message type b'\?'"),
        (b"I\0\0\0\1O\0\0", "without the new row"),
        (b"D\0\0\0\1N\0\0", "without the old row"),
        (b"I\0\0\0\1N\0\1b\0\0\0\1x", "unknown kind of column b'b'"),
        (b"R\0\0\0\1s\0t\0x\0\0", "unknown replica identity b'x'"),
        (b"Y\0\0\0\1\xff\0t\0", "cut off or damaged"),
    ],
)
def test_the_error_says_what_was_unexpected(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode(data)
