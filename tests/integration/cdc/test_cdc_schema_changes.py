"""DDL while the source streams: each event has the columns of its moment, and the topic of schema changes tells."""

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.encoding import Encoding
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.changes import Change
from schemas.topics import Catalogue

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]


def test_columns_and_events_follow_ddl_in_order(
    kafka: Connection,
    dsn: str,
    sql: Sql,
    configure: Configure,
    streaming: Start,
    changes: Changes,
    messages: Messages,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    plain = configure("public.t", "public.later")
    told = Catalogue(prefix=f"{plain.slot}.").beside_changes("schema-changes", key="", purpose="")
    config = structs.replace(
        plain, topics={"public.t": plain.topics["public.t"]}, schema_changes=structs.replace(told, partitions=4)
    )
    ensure_topics(kafka, config.all_topics)
    source, stop = streaming(config)
    sql("INSERT INTO t VALUES (1, 'x')")
    with psycopg.connect(dsn) as connection:  # DDL and changes of one transaction
        connection.execute("INSERT INTO t VALUES (2, 'x')")
        connection.execute("ALTER TABLE t ADD b int DEFAULT 7")
        connection.execute("INSERT INTO t VALUES (3, 'x', 8)")
        with connection.transaction(force_rollback=True):
            connection.execute("ALTER TABLE t ADD never int")
            connection.execute("INSERT INTO t VALUES (4, 'x', 8, 9)")
        connection.execute("INSERT INTO t VALUES (5, 'x', 8)")
    sql("ALTER TABLE t ALTER b TYPE text USING 'b' || b")
    sql("INSERT INTO t VALUES (6, 'x', 'b9')")
    sql("ALTER TABLE t RENAME a TO z")
    sql("ALTER TABLE t DROP b")
    sql("UPDATE t SET z = 'y' WHERE id = 1")
    caught_up(source)
    rows = [change.after for change in changes(config, "public.t")]
    assert rows == [
        {"id": 1, "a": "x"},
        {"id": 2, "a": "x"},
        {"id": 3, "a": "x", "b": 8},
        {"id": 5, "a": "x", "b": 8},
        {"id": 6, "a": "x", "b": "b9"},
        {"id": 1, "z": "y"},
    ]
    assert config.schema_changes is not None
    found = messages(structs.replace(config, topics={"any": config.schema_changes}), "any")
    events = [msgspec.json.decode(message.value() or b"")["tableChanges"][0] for message in found]
    columns = [[(one["name"], one["typeName"]) for one in event["table"]["columns"]] for event in events]
    assert columns == [
        [("id", "int4"), ("a", "text")],
        [("id", "int4"), ("a", "text"), ("b", "int4")],
        [("id", "int4"), ("a", "text"), ("b", "text")],
        [("id", "int4"), ("z", "text")],
    ]
    assert [event["previous"] for event in events[1:]] == [event["table"] for event in events[:-1]]

    sql("CREATE TABLE later (id int PRIMARY KEY)")
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    again, _ = streaming(structs.replace(config, topics=plain.topics))
    sql("INSERT INTO later VALUES (1)")
    caught_up(again)
    later = changes(plain, "public.later")  # the table is read beside the stream, and may have the row already
    assert later[-1].op == "c"
    assert all(change.after == {"id": 1} for change in later)


def test_schemas_tell_the_constants_that_columns_default_to_and_follow_them(
    kafka: Connection,
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    """In the snapshot as in the stream; what cannot be inserted is left out and stops nothing."""
    sql(
        "CREATE TABLE t (id serial PRIMARY KEY, a numeric(6,2) DEFAULT 1.5, b char(4) DEFAULT 'x',"
        " at timestamptz DEFAULT now(), never smallint DEFAULT 100000)"
    )
    sql("INSERT INTO t (at, never) VALUES (NULL, 1)")
    plain = configure("public.t", encoding=Encoding(schemas=True))
    told = Catalogue(prefix=f"{plain.slot}.").beside_changes("schema-changes", key="", purpose="")
    config = structs.replace(plain, schema_changes=structs.replace(told, partitions=4))
    ensure_topics(kafka, config.all_topics)
    source, _ = streaming(config)
    sql("INSERT INTO t (never) VALUES (1)")
    sql("ALTER TABLE t ALTER a SET DEFAULT 2")
    sql("INSERT INTO t (never) VALUES (1)")
    sql("ALTER TABLE t ALTER a DROP DEFAULT")
    sql("INSERT INTO t (never) VALUES (1)")
    caught_up(source)
    found = [msgspec.json.decode(message.value() or b"") for message in messages(config, "public.t")]
    by_id = sorted(found, key=lambda value: value["payload"]["after"]["id"])
    defaults = [
        {one["field"]: one["default"] for one in value["schema"]["fields"][1]["fields"] if "default" in one}
        for value in by_id
    ]
    padded = {"b": "x   "}
    assert defaults[0] == defaults[1] == {"a": "1.50", **padded}
    assert defaults[2:] == [{"a": "2.00", **padded}, padded]
    assert config.schema_changes is not None
    events = messages(structs.replace(config, topics={"any": config.schema_changes}), "any")
    changes = [msgspec.json.decode(message.value() or b"")["tableChanges"][0] for message in events]
    assert [
        [one["defaultValueExpression"] for one in change["table"]["columns"] if one["name"] == "a"]
        for change in changes
    ] == [["1.5"], ["2"], [None]]
