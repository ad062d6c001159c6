"""Every example of docs/cdc-types.md on a real Postgres, through the snapshot and through the stream."""

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka import Message
from psycopg.conninfo import conninfo_to_dict

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.encoding import Encoding
from connectors.cdc.type_catalog import read_types
from connectors.cdc.type_examples import DEFINITIONS, EXTENSIONS, Example, name_of, type_of
from connectors.cdc.types import codec_of
from connectors.cdc.types_document import EXAMPLES

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Messages = Callable[[CdcConfig, str], list[Message]]
CaughtUp = Callable[[Source], None]

ENCODINGS = {
    "default": Encoding(),
    "precise": Encoding(decimals="precise", times="isostring", intervals="string", binary="hex", unknown_types="bytes"),
    "double": Encoding(decimals="double", times="connect", binary="base64", unknown_types="omit"),
    "schemas": Encoding(decimals="precise", times="adaptive_time_microseconds", hstore="map", schemas=True),
}


def shown_by(sql: Sql) -> list[Example]:
    """Define the types of the examples, and return the examples that this server can show."""
    available = {name for (name,) in sql("SELECT name::text FROM pg_available_extensions")}
    [(xml,)] = sql("SELECT EXISTS (SELECT FROM pg_config() WHERE name = 'CONFIGURE' AND setting LIKE '%%libxml%%')")
    [(version,)] = sql("SELECT current_setting('server_version_num')::int")
    missing = {"xml"} if not xml else set[str]()
    if version < 140_000:
        missing.add("int4multirange")
    if version < 150_000:
        missing.add("numeric(5,-2)")
    for extension, names in EXTENSIONS.items():
        if extension in available:
            sql(f"CREATE EXTENSION {extension}")
        else:
            missing.update(names)
    for definition in DEFINITIONS:
        sql(definition)
    return [example for example in EXAMPLES if not {name_of(example.type), example.type} & missing]


def expected(example: Example, encoding: Encoding) -> Any:
    """Return the value of an example; an Ellipsis where its column is left out."""
    codec = codec_of(*type_of(example.type), encoding)
    return ... if codec is None else msgspec.json.decode(codec.encode(example.printed.encode()))


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_every_type_has_the_same_value_in_the_snapshot_and_in_the_stream(
    encoding: Encoding,
    dsn: str,
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    examples = shown_by(sql)
    columns = ", ".join(f"c{number} {example.type}" for number, example in enumerate(examples))
    sql(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    # What the database prints by itself must not matter.
    name = conninfo_to_dict(dsn)["dbname"]
    for setting in ("TimeZone = 'Asia/Kolkata'", "DateStyle = 'German'", "bytea_output = 'escape'"):
        sql(f"ALTER DATABASE {name} SET {setting}")
    sql(f"ALTER DATABASE {name} SET extra_float_digits = -3")
    sql(f"ALTER DATABASE {name} SET IntervalStyle = 'sql_standard'")
    places = ", ".join("%s" for _ in examples)
    with psycopg.connect(dsn, options="-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC") as connection:
        connection.execute(f"INSERT INTO t VALUES (1, {places})".encode(), [example.literal for example in examples])
    config = configure("public.t", encoding=encoding)
    source, _ = streaming(config)
    names = ", ".join(f"c{number}" for number in range(len(examples)))
    sql(f"INSERT INTO t SELECT id + 1, {names} FROM t")
    sql("INSERT INTO t (id) VALUES (3)")
    caught_up(source)
    values = [msgspec.json.decode(message.value() or b"") for message in messages(config, "public.t")]
    rows = {row["id"]: row for value in values for row in [value.get("payload", value)["after"]]}
    wanted = {f"c{number}": expected(example, encoding) for number, example in enumerate(examples)}
    wanted = {column: value for column, value in wanted.items() if value is not ...}
    for key, content in ((1, wanted), (2, wanted), (3, dict.fromkeys(wanted))):
        assert rows[key] == {"id": key, **content}
    if encoding.schemas:
        assert len({msgspec.json.encode(value["schema"]) for value in values}) == 1


def test_types_of_the_database_itself_are_read_once_with_what_they_are_made_of(dsn: str, sql: Sql) -> None:
    for definition in DEFINITIONS:
        sql(definition)
    with psycopg.connect(dsn) as connection:
        for declared in ("mood", "mood[]", "price", "cheap_price", "feeling", "pair", "pair[]", "box[]", "point"):
            [(oid,)] = sql("SELECT %s::regtype::oid::int8", declared)
            found = codec_of(read_types(connection, [oid])[oid], -1)
            described = codec_of(*type_of(declared))
            assert found is not None
            assert described is not None
            assert (found.schema, found.placeholder) == (described.schema, described.placeholder)
        assert read_types(connection, [4_000_000_000])[4_000_000_000].name == "unknown"
