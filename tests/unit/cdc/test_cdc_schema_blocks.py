"""The schemas of `DEBEZIUM` were written by Debezium 3.4.3 with `schemas.enable=true`."""

import struct
from typing import Any, cast

import msgspec
import pytest

from connectors.cdc.encoding import Encoding, UnknownTypes
from connectors.cdc.envelope import NEW_KEY, OLD_KEY, Database, Moment, processed_at, records, source_template
from connectors.cdc.fast_path import shortcuts_of
from connectors.cdc.pgoutput import Delete, Insert, Relation, RelationColumn, Update
from connectors.cdc.receipt import Receipt
from connectors.cdc.replication import DATA_HEADER
from connectors.cdc.schema_blocks import placed
from connectors.cdc.tables import Column, Indexes, Table, table_of
from connectors.cdc.type_examples import type_of
from connectors.cdc.types import INT4, TEXT, codec_of
from schemas.changes import decode_change

WITH_SCHEMAS = Encoding(schemas=True)
MOMENT = Moment(time_us=1, tx_id=2, last_commit=None)
DATABASE = Database(version="3.4.3.Final", name="dbz", db="probe")
TABLE = Table(
    "public", "t", "dbz.public.t", [Column("id", INT4, -1), Column("100%", TEXT, -1)], key=[0], encoding=WITH_SCHEMAS
)
DEBEZIUM: dict[str, Any] = {
    "numeric(10,2)": {
        "type": "bytes",
        "optional": True,
        "name": "org.apache.kafka.connect.data.Decimal",
        "version": 1,
        "parameters": {"scale": "2", "connect.decimal.precision": "10"},
    },
    "timestamp": {"type": "int64", "optional": True, "name": "io.debezium.time.MicroTimestamp", "version": 1},
    "time(3)": {"type": "int32", "optional": True, "name": "io.debezium.time.Time", "version": 1},
    "uuid": {"type": "string", "optional": True, "name": "io.debezium.data.Uuid", "version": 1},
    "mood": {
        "type": "string",
        "optional": True,
        "name": "io.debezium.data.Enum",
        "version": 1,
        "parameters": {"allowed": "happy,sad"},
    },
    "bit(3)": {
        "type": "bytes",
        "optional": True,
        "name": "io.debezium.data.Bits",
        "version": 1,
        "parameters": {"length": "3"},
    },
    "jsonb[]": {
        "type": "array",
        "items": {"type": "string", "optional": True, "name": "io.debezium.data.Json", "version": 1},
        "optional": True,
    },
    "vector(3)": {
        "type": "array",
        "items": {"type": "double", "optional": False},
        "optional": True,
        "name": "io.debezium.data.DoubleVector",
        "version": 1,
    },
    "point": {
        "type": "struct",
        "fields": [
            {"type": "double", "optional": False, "field": "x"},
            {"type": "double", "optional": False, "field": "y"},
            {"type": "bytes", "optional": True, "field": "wkb"},
            {"type": "int32", "optional": True, "field": "srid"},
        ],
        "optional": True,
        "name": "io.debezium.data.geometry.Point",
        "version": 1,
        "doc": "Geometry (POINT)",
    },
    "numeric": {
        "type": "struct",
        "fields": [
            {"type": "int32", "optional": False, "field": "scale"},
            {"type": "bytes", "optional": False, "field": "value"},
        ],
        "optional": True,
        "name": "io.debezium.data.VariableScaleDecimal",
        "version": 1,
        "doc": "Variable scaled decimal",
    },
}


def made(table: Table, change: Insert | Delete) -> tuple[Any, Any]:
    """Return key and value of the record of a change, decoded."""
    [record, *_] = records(table, change, source_template(DATABASE, table, MOMENT) % (3, 3), 4)
    return msgspec.json.decode(record.key or b"null"), msgspec.json.decode(record.value or b"null")


def optional_by_name(table: Table) -> dict[str, bool]:
    assert table.value_schema is not None
    after = msgspec.json.decode(table.value_schema)["fields"][1]
    return {field["field"]: field["optional"] for field in after["fields"]}


@pytest.mark.parametrize(("declared", "expected"), DEBEZIUM.items())
def test_the_schema_of_a_type_is_debeziums_in_its_order(declared: str, expected: dict[str, Any]) -> None:
    codec = codec_of(*type_of(declared), Encoding(decimals="precise"))
    assert codec is not None
    assert msgspec.json.encode(placed(codec.schema, optional=True)) == msgspec.json.encode(expected)


def test_keys_and_values_bring_their_schema() -> None:
    key, value = made(TABLE, Insert(1, [b"1", b"x"]))
    assert key == {
        "schema": {
            "type": "struct",
            "fields": [{"type": "int32", "optional": False, "field": "id"}],
            "optional": False,
            "name": "dbz.public.t.Key",
        },
        "payload": {"id": 1},
    }
    schema, payload = value["schema"], value["payload"]
    assert (schema["name"], schema["version"], schema["optional"]) == ("dbz.public.t.Envelope", 2, False)
    assert [field["field"] for field in schema["fields"]] == list(payload)
    before, after, source, *_ = schema["fields"]
    assert before["name"] == after["name"] == "dbz.public.t.Value"
    assert [field["field"] for field in source["fields"]] == list(payload["source"])
    assert payload["after"] == {"id": 1, "100%": "x"}


def test_headers_of_a_changed_key_hold_it_without_a_schema() -> None:
    change = Update(1, [b"1", None], old_is_full=False, new=[b"2", b"x"])
    deleted, _, created = records(TABLE, change, source_template(DATABASE, TABLE, MOMENT) % (3, 3), 4)
    assert deleted.headers == [(NEW_KEY, b'{"id":2}')]
    assert created.headers == [(OLD_KEY, b'{"id":1}')]


def test_columns_of_a_chosen_key_are_required_only_when_they_are_not_null() -> None:
    columns = [Column("id", INT4, -1, not_null=True), Column("a", TEXT, -1)]
    table = Table("public", "t", "topic", columns, key=[0, 1], encoding=WITH_SCHEMAS, key_is_chosen=True)
    key, _ = made(table, Insert(1, [b"1", None]))
    assert [field["optional"] for field in key["schema"]["fields"]] == [False, True]


def test_readers_of_this_project_take_a_value_with_its_schema() -> None:
    [record] = records(TABLE, Insert(1, [b"1", b"x"]), source_template(DATABASE, TABLE, MOMENT) % (3, 3), 4)
    change = decode_change(record.value or b"")
    assert change is not None
    assert change.after == {"id": 1, "100%": "x"}


def test_the_short_way_of_a_change_brings_the_same_schema() -> None:
    source, row = source_template(DATABASE, TABLE, MOMENT), [b"1", b"x"]
    body = b"".join(b"t%b%b" % (len(value).to_bytes(4), value) for value in row)
    header = struct.pack(">cQQq", b"w", 3, 3, 0)
    assert len(header) == DATA_HEADER
    message = header + b"I" + (1).to_bytes(4) + b"N" + len(row).to_bytes(2) + body
    receipt = cast(Receipt, None)  # nothing is sent
    of_inserts, *_ = shortcuts_of(TABLE, source, receipt, [])
    short = of_inserts.make(message, processed_at(4))
    [long] = records(TABLE, Insert(1, [*row]), source % (3, 3), 4)
    assert short is not None
    assert (short["key"], short["value"]) == (long.key, long.value)


def test_without_schemas_there_are_none() -> None:
    plain = Table("public", "t", "topic", TABLE.columns, key=[0])
    assert plain.value_schema is None
    assert plain.with_schema(b"{}") == b"{}"


def test_only_what_no_event_shows_as_null_is_required() -> None:
    """An old row that is only a key has null in all other columns, whatever the table forbids."""
    described = (RelationColumn("id", INT4, -1, True), RelationColumn("a", TEXT, -1, False))
    indexes = Indexes(columns=("id", "a"), primary_key=("id",), not_null=("id", "a"))
    for identity, expected in (("d", {"id": False, "a": True}), ("f", {"id": False, "a": False})):
        relation = Relation(7, "public", "t", identity, described)
        assert optional_by_name(table_of(relation, indexes, "topic", encoding=WITH_SCHEMAS)) == expected


@pytest.mark.parametrize(("mode", "expected"), [("text", {"id": 1, "p": "(1,x)"}), ("omit", {"id": 1})])
def test_a_column_that_is_left_out_is_in_no_schema_and_no_row(mode: UnknownTypes, expected: dict[str, Any]) -> None:
    pair, _ = type_of("pair")
    columns = [Column("p", 99_999, -1, pair), Column("id", INT4, -1)]
    table = Table("public", "t", "topic", columns, key=[1], encoding=Encoding(schemas=True, unknown_types=mode))
    _, value = made(table, Insert(1, [b"(1,x)", b"1"]))
    assert value["payload"]["after"] == expected
    assert set(optional_by_name(table)) == set(expected)
    _, value = made(table, Insert(1, [None, b"1"]))
    assert value["payload"]["after"] == {**expected, **({"p": None} if mode == "text" else {})}


def test_a_key_is_whole_also_when_its_type_is_left_out_of_rows() -> None:
    pair, _ = type_of("pair")
    table = Table("s", "t", "topic", [Column("p", 99_999, -1, pair)], key=[0], encoding=Encoding(unknown_types="omit"))
    key, value = made(table, Insert(1, [b"(1,x)"]))
    assert (key, value["after"]) == ({"p": "(1,x)"}, {})
