"""The short way and the long way of a change must give the same record."""

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc import types
from connectors.cdc.envelope import Database, Moment, processed_at, records, source_template
from connectors.cdc.errors import CdcError
from connectors.cdc.fast_path import ROUTE, shortcuts_of
from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Unchanged, Update, decode
from connectors.cdc.receipt import Receipt
from connectors.cdc.replication import DATA_HEADER, start_lsn
from connectors.cdc.tables import Column, Table

COLUMNS = [Column("id", types.INT4, -1), Column("100%s", types.TEXT, -1), Column("at", types.TIMESTAMPTZ, -1)]
KEYED = Table("s%s", "t", "topic", COLUMNS, key=[0], identity=[0])
TABLES = [KEYED, Table("s", "t", "topic", COLUMNS, key=[1, 0]), Table("s", "t", "topic", COLUMNS, key=[])]
NOW_NS = 1_795_228_827_872_248_606
OID = 7
RECEIPT = Receipt(lambda: None, lambda: True, lambda error, message: None)


def source_of(table: Table) -> bytes:
    moment = Moment(time_us=5, tx_id=804, last_commit=3)
    return source_template(Database(version="1", name="cdc", db="d"), table, moment)


def row_of(values: Tuple) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if isinstance(value, Unchanged):
            parts.append(b"u")
        elif value is None:
            parts.append(b"n")
        else:
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
    return b"".join(parts)


def message_of(body: bytes, lsn: int = 9) -> bytes:
    return b"w" + struct.pack(">QQQ", lsn, lsn, 0) + body


def short(table: Table, message: bytes) -> tuple[bytes | None, bytes] | None:
    for shortcut in shortcuts_of(table, source_of(table), RECEIPT, []):
        if shortcut.kind == message[DATA_HEADER : DATA_HEADER + 1]:
            made = shortcut.make(message, processed_at(NOW_NS))
            return None if made is None else (made["key"], made["value"])
    return None


def long(table: Table, message: bytes) -> tuple[bytes | None, bytes | None]:
    change, lsn = decode(message, DATA_HEADER), start_lsn(message)
    assert isinstance(change, Insert | Update | Delete)
    key, value, *_ = records(table, change, source_of(table) % (lsn, lsn), NOW_NS)[0]
    return key, value


texts = st.one_of(
    st.none(),
    st.just(UNCHANGED),
    st.sampled_from([b"1", b"-5", b"", b'q"\\\n', b"2026-01-01 00:00:00+00", b"infinity", "é".encode()]),
    st.binary(max_size=8),
)
rows = st.lists(texts, min_size=3, max_size=3) | st.lists(texts, max_size=5)
bodies = st.one_of(
    rows.map(lambda row: b"I" + struct.pack(">I", OID) + b"N" + row_of(row)),
    rows.map(lambda row: b"U" + struct.pack(">I", OID) + b"N" + row_of(row)),
    st.tuples(rows, rows).map(
        lambda two: b"U" + struct.pack(">I", OID) + b"O" + row_of(two[0]) + b"N" + row_of(two[1])
    ),
    st.tuples(st.sampled_from([b"K", b"O"]), rows).map(
        lambda two: b"D" + struct.pack(">I", OID) + two[0] + row_of(two[1])
    ),
)


@given(st.sampled_from(TABLES), bodies, st.integers(0, 2**63))
def test_the_short_way_makes_the_same_record_as_the_long_way_or_none(table: Table, body: bytes, lsn: int) -> None:
    message = message_of(body, lsn)
    made = short(table, message)
    if made is not None:
        assert made == long(table, message)


@given(st.sampled_from(TABLES), bodies, st.integers(0, 60), st.integers(0, 255), st.integers(0, 80))
def test_a_damaged_message_makes_the_same_record_or_none(
    table: Table, body: bytes, place: int, byte: int, cut: int
) -> None:
    mangled = bytearray(message_of(body))
    mangled[DATA_HEADER + place % len(body)] = byte
    for message in (bytes(mangled), bytes(mangled[: DATA_HEADER + 1 + cut]), bytes(mangled) + b"\0"):
        made = short(table, message)
        if made is not None:
            with suppress(CdcError):
                assert made == long(table, message)
                continue
            raise AssertionError("the long way refuses what the short way took")


usual = st.one_of(
    st.none(),
    st.sampled_from([b"1", b"-5", b"", b"t", b"n" * 116, b"t" * 255, b"u" * 256, b"i" * 70_000, b'q"\\\n']),
    st.sampled_from([b"2026-01-01 00:00:00+00", b"2026-01-01 00:00:00.5+00", b"infinity", "é".encode()]),
    st.binary(max_size=8).map(lambda text: text.replace(b"\0", b"")),  # Postgres stores no NUL
)
some_rows = st.tuples(usual, usual, usual) | st.lists(usual | st.just(UNCHANGED), max_size=4)


def many(table: Table, messages: list[bytes]) -> list[tuple[bytes | None, bytes]] | None:
    for shortcut in shortcuts_of(table, source_of(table), RECEIPT, []):
        if shortcut.kind == messages[0][DATA_HEADER : DATA_HEADER + 1]:
            made = shortcut.make_all(messages, processed_at(NOW_NS))
            return None if made is None else [(one["key"], one["value"]) for one in made]
    return None


@given(st.sampled_from(TABLES), st.sampled_from([b"IN", b"UN", b"UO", b"DK", b"DO"]), st.lists(some_rows, min_size=1))
def test_many_changes_at_once_make_the_same_records_as_one_after_the_other_or_none(
    table: Table, kinds: bytes, rows: list[Tuple]
) -> None:
    head = kinds[:1] + OID.to_bytes(4) + kinds[1:]
    messages = [message_of(head + row_of(row), lsn) for lsn, row in enumerate(rows)]
    made = many(table, messages)
    if made is not None:
        assert made == [short(table, message) for message in messages]


# Their bytes look like the head of a value.
odd_lsns = st.sampled_from([9, 0x74000000, 0x740000005, 0x7400000000000000, 0x0074000000740000, 0x7400000074000000])
plain = st.sampled_from([b"1", b"-5", b"", b"t", b"n", b"t" * 255, b"I\x07N\x03"])


@given(
    st.sampled_from(TABLES),
    st.lists(
        st.tuples(odd_lsns, st.tuples(*[plain | st.sampled_from([None, b"t" * 256])] * 3)), min_size=1, max_size=6
    ),
)
def test_what_looks_like_a_value_in_a_header_is_none(table: Table, given: list[tuple[int, Tuple]]) -> None:
    messages = [message_of(b"I%bN" % OID.to_bytes(4) + row_of(row), lsn) for lsn, row in given]
    made = many(table, messages)
    if made is not None:
        assert made == [short(table, message) for message in messages]


def test_changes_without_nulls_and_long_texts_are_split_together() -> None:
    rows = [row_of([b"%d" % number, b"a", b"2026-01-01 00:00:00+00"]) for number in range(5)]
    messages = [message_of(b"I%bN" % OID.to_bytes(4) + row, lsn) for lsn, row in enumerate(rows)]
    assert many(KEYED, messages) == [long(KEYED, message) for message in messages]
    assert many(KEYED, messages[:1]) == [long(KEYED, messages[0])]


def test_changes_with_nulls_and_long_texts_are_made_at_once() -> None:
    row = row_of([b"1", b"t" * 300, None])
    messages = [message_of(b"I%bN" % OID.to_bytes(4) + row, lsn) for lsn in range(3)]
    assert many(KEYED, messages) == [long(KEYED, message) for message in messages]


def test_one_change_that_takes_the_long_way_has_all_of_its_run_made_one_after_the_other() -> None:
    rows = [row_of([b"1", b"a", None]), row_of([b"2", UNCHANGED, None]), row_of([b"three", b"a", None])]
    first, unchanged, wrong = [message_of(b"U%bN" % OID.to_bytes(4) + row) for row in rows]
    assert many(KEYED, [first, first]) is not None
    assert many(KEYED, [first, unchanged]) is None
    assert many(KEYED, [first, wrong]) is None


def test_usual_changes_take_the_short_way() -> None:
    row = row_of([b"1", b'a"b', None])
    for body in (b"I%bN" % OID.to_bytes(4), b"U%bN" % OID.to_bytes(4), b"D%bK" % OID.to_bytes(4)):
        message = message_of(body + row)
        assert message[ROUTE] == body[:5]
        assert short(KEYED, message) == long(KEYED, message)


def test_an_update_that_left_a_large_value_alone_takes_the_long_way() -> None:
    assert short(KEYED, message_of(b"U%bN" % OID.to_bytes(4) + row_of([b"1", UNCHANGED, None]))) is None
