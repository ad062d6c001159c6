"""The golden record was written by Debezium 3.4.3 (`schemas.enable=false`); only version and processing time differ."""

from typing import Any

import msgspec
import pytest

from connectors.cdc import types
from connectors.cdc.envelope import (
    NEW_KEY,
    OLD_KEY,
    Database,
    Moment,
    Record,
    records,
    source_template,
)
from connectors.cdc.errors import KeyUnknown, MalformedMessage
from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Update
from connectors.cdc.tables import Column, Table
from schemas.changes import Change, decode_change

DATABASE = Database(version="3.4.3.Final", name="cdc.travel", db="travel")
MOMENT = Moment(time_us=1_795_228_827_476_032, tx_id=804, last_commit=32_730_296)
NOW_NS = 1_795_228_827_872_248_606
COLUMNS = [Column("id", types.INT4, -1), Column("a", types.TEXT, -1), Column("b", types.TEXT, -1)]
TABLE = Table("public", "t", "cdc.travel.public.t", COLUMNS, key=[0], identity=[0])
LSN = 32_730_424
GOLDEN = (
    b'{"before":null,"after":{"id":21,"a":"x","b":"y"},"source":{"version":"3.4.3.Final","connector":"postgresql",'
    b'"name":"cdc.travel","ts_ms":1795228827476,"snapshot":"false","db":"travel","sequence":"[\\"32730296\\",'
    b'\\"32730424\\"]","ts_us":1795228827476032,"ts_ns":1795228827476032000,"schema":"public","table":"t",'
    b'"txId":804,"lsn":32730424,"xmin":null},"transaction":null,"op":"c","ts_ms":1795228827872,'
    b'"ts_us":1795228827872248,"ts_ns":1795228827872248606}'
)


def source(table: Table = TABLE, moment: Moment = MOMENT) -> bytes:
    return source_template(DATABASE, table, moment) % (LSN, LSN)


def changed(change: Insert | Update | Delete, table: Table = TABLE) -> list[Record]:
    return records(table, change, source(table), NOW_NS)


def change_of(record: Record) -> Change:
    change = decode_change(record.value or b"")
    assert change is not None
    return change


def after(record: Record) -> Any:
    return change_of(record).after


def test_an_insert_is_byte_for_byte_what_debezium_writes() -> None:
    assert changed(Insert(1, [b"21", b"x", b"y"])) == [Record(b'{"id":21}', GOLDEN, None)]


def test_before_the_first_commit_the_sequence_begins_with_null() -> None:
    moment = Moment(time_us=0, tx_id=1, last_commit=None)
    block = msgspec.json.decode(source(moment=moment))
    assert block["sequence"] == '[null,"32730424"]'


def test_names_with_percent_signs_and_quotes_survive_in_the_source() -> None:
    table = Table("100%", 'a"%d', "topic", COLUMNS, key=[0])
    block = msgspec.json.decode(source(table))
    assert (block["schema"], block["table"], block["lsn"]) == ("100%", 'a"%d', LSN)


def test_an_update_without_an_old_row_has_no_before() -> None:
    [record] = changed(Update(1, None, old_is_full=False, new=[b"1", b"x", None]))
    change = change_of(record)
    assert (change.op, change.before, change.after) == ("u", None, {"id": 1, "a": "x", "b": None})


def test_an_update_with_an_old_row_has_it_as_before() -> None:
    [record] = changed(Update(1, [b"1", b"w", None], old_is_full=True, new=[b"1", b"x", None]))
    assert change_of(record).before == {"id": 1, "a": "w", "b": None}


def test_a_delete_is_followed_by_a_tombstone() -> None:
    deleted, tombstone = changed(Delete(1, [b"1", None, None], old_is_full=False))
    change = change_of(deleted)
    assert (change.op, change.before, change.after) == ("d", {"id": 1, "a": None, "b": None}, None)
    assert tombstone == Record(b'{"id":1}', None, None)


@pytest.mark.parametrize("full", [True, False])
def test_a_change_of_the_key_is_a_delete_a_tombstone_and_a_create(full: bool) -> None:
    old: Tuple = [b"1", b"x" if full else None, None]
    deleted, tombstone, created = changed(Update(1, old, old_is_full=full, new=[b"2", b"x", None]))
    assert (deleted.key, tombstone.key, created.key) == (b'{"id":1}', b'{"id":1}', b'{"id":2}')
    assert (change_of(deleted).op, tombstone.value, change_of(created).op) == ("d", None, "c")
    assert (deleted.headers, tombstone.headers) == ([(NEW_KEY, b'{"id":2}')], [(NEW_KEY, b'{"id":2}')])
    assert created.headers == [(OLD_KEY, b'{"id":1}')]
    assert change_of(created).before is None
    assert change_of(deleted).source == change_of(created).source


def test_without_a_key_there_are_no_tombstones_and_no_changes_of_the_key() -> None:
    table = Table("public", "t", "topic", COLUMNS, key=[])
    [deleted] = changed(Delete(1, [b"1", b"x", None], old_is_full=True), table)
    [updated] = changed(Update(1, [b"1", b"x", None], old_is_full=True, new=[b"2", b"x", None]), table)
    assert (deleted.key, updated.key) == (None, None)
    assert (change_of(deleted).op, change_of(updated).op) == ("d", "u")


def test_a_value_outside_of_the_row_comes_from_the_old_row_when_that_is_whole() -> None:
    [record] = changed(Update(1, [b"1", b"w", b"large"], old_is_full=True, new=[b"1", b"x", UNCHANGED]))
    assert after(record) == {"id": 1, "a": "x", "b": "large"}


def test_a_null_of_an_old_row_that_is_only_a_key_is_never_taken_for_a_value() -> None:
    *_, created = changed(Update(1, [b"1", None, None], old_is_full=False, new=[b"2", b"x", UNCHANGED]))
    assert after(created) == {"id": 2, "a": "x", "b": "__debezium_unavailable_value"}


def test_a_value_outside_of_the_row_has_a_placeholder_when_there_is_no_old_row() -> None:
    [record] = changed(Update(1, None, old_is_full=False, new=[b"1", b"x", UNCHANGED]))
    assert after(record) == {"id": 1, "a": "x", "b": "__debezium_unavailable_value"}


def test_a_large_key_comes_from_the_old_key() -> None:
    [record] = changed(Update(1, [b"1", None, None], old_is_full=False, new=[UNCHANGED, b"x", None]))
    assert record.key == b'{"id":1}'


def test_a_key_that_is_not_in_the_change_is_never_guessed() -> None:
    with pytest.raises(KeyUnknown, match=r"public\.t leaves out its key.*REPLICA IDENTITY FULL"):
        changed(Update(1, None, old_is_full=False, new=[UNCHANGED, b"x", None]))


@pytest.mark.parametrize(
    "change",
    [
        Insert(1, [b"1"]),
        Delete(1, [b"1"], old_is_full=True),
        Update(1, None, old_is_full=False, new=[UNCHANGED]),
        Update(1, [b"1", b"2", b"3", b"4"], old_is_full=True, new=[b"1", b"x", UNCHANGED]),
        Update(1, [b"1"], old_is_full=True, new=[b"1", b"x", b"y"]),
    ],
)
def test_a_change_that_does_not_fit_the_table_is_refused(change: Insert | Update | Delete) -> None:
    with pytest.raises(MalformedMessage, match=r"a row of public\.t has \d values, its columns are 3"):
        changed(change)
