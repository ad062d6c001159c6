"""Tables that are read while the stream goes on, and snapshot modes, on a real Postgres."""

import json
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.offsets import CdcOffset, OffsetReader
from connectors.cdc.signal_topic import send_signal
from connectors.cdc.signals import Condition, Signal, SignalData
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.kafka import KafkaServer
from schemas.changes import Change
from schemas.topics import Topic

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]

SIGNALS = "CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))"


@pytest.fixture
def kafka(broker: KafkaServer) -> Connection:
    return Connection(bootstrap=broker.bootstrap)


@pytest.fixture
def signalled(kafka: Connection, configure: Configure) -> Configure:
    """Return a configuration with a topic of signals."""

    def make(*tables: str, **changes: Any) -> CdcConfig:
        config = configure(*tables, **changes)
        name = config.offsets.name.replace("cdc.offsets", "signal")
        topic = Topic(name=name, key="", value="Signal", owner="", purpose="", partitions=2)
        ensure_topics(kafka, [topic])
        return structs.replace(config, signals=topic)

    return make


def execute(*tables: str, where: str = "") -> Signal:
    conditions = tuple(Condition(table, where) for table in tables) if where else ()
    data = SignalData(data_collections=tables, additional_conditions=conditions)
    return Signal(type="execute-snapshot", id="mine", data=data)


def send(kafka: Connection, config: CdcConfig, signal: Signal, *, name: str = "") -> None:
    assert config.signals is not None
    assert send_signal(kafka, config.signals.name, name or config.name, signal)


def last_offset(kafka: Connection, config: CdcConfig) -> CdcOffset | None:
    with OffsetReader(kafka, config.offsets.name) as offsets:
        return offsets.last(config.slot, Stop())


def reads(changes: list[Change]) -> list[Any]:
    return sorted(change.after["id"] for change in changes if change.op == "r" and change.after)


def table_rows(sql: Sql, table: str) -> list[Any]:
    rows = [row for (row,) in sql(f"SELECT to_jsonb(t) FROM {table} t")]
    return sorted((dict(sorted(row.items())) for row in rows), key=json.dumps)


def end(source: Source, stop: Stop, sql: Sql, eventually: Eventually) -> None:
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(
        lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", source.config.slot) == []
    )


class Writer(threading.Thread):
    """Changes rows, moves them, deletes them and brings them back until it is told to stop."""

    def __init__(self, dsn: str, tables: list[str], ids: int) -> None:
        super().__init__(name="writer")
        self._dsn, self._tables, self._ids = dsn, tables, ids
        self.done = threading.Event()

    def run(self) -> None:
        draw = Random(3)
        with psycopg.connect(self._dsn) as connection:
            while not self.done.is_set():
                for _ in range(draw.randint(1, 8)):
                    table, key, other = (
                        draw.choice(self._tables),
                        draw.randint(1, self._ids),
                        draw.randint(1, self._ids),
                    )
                    statement = draw.choice(
                        [
                            f"INSERT INTO {table} VALUES ({key}, 'new') ON CONFLICT DO NOTHING",
                            f"UPDATE {table} SET a = '{draw.random()}' WHERE id BETWEEN {key} AND {key + 3}",
                            f"DELETE FROM {table} WHERE id = {key}",
                            f"UPDATE {table} SET id = {other} WHERE id = {key}"
                            f" AND NOT EXISTS (SELECT FROM {table} WHERE id = {other})",
                        ]
                    )
                    connection.execute(statement.encode())
                if draw.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()


def test_tables_that_are_read_beside_the_stream_are_right_under_a_random_workload(
    dsn: str,
    sql: Sql,
    kafka: Connection,
    signalled: Configure,
    streaming: Start,
    changes: Changes,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    ids, tables = 3_000, ["public.t", "public.whole"]
    for table in tables:
        sql(f"CREATE TABLE {table} (id int PRIMARY KEY, a text)")
        sql(f"INSERT INTO {table} SELECT g, 'start' FROM generate_series(1, {ids}) g")
    sql("ALTER TABLE whole REPLICA IDENTITY FULL")
    config = signalled(*tables, snapshot="no_data", chunk_rows=100)
    source, _ = streaming(config)
    writer = Writer(dsn, tables, ids)
    writer.start()
    try:
        send(kafka, config, execute("public.*"))
        eventually(lambda: source.counters.snapshots == 1)
    finally:
        writer.done.set()
        writer.join()
    caught_up(source)
    floors: set[int] = set()
    for table in tables:
        assert rebuilt(config, table) == table_rows(sql, table)
        last: dict[int, Any] = {}
        for change in changes(config, table):
            if change.op == "r" and change.after:
                assert change.source.snapshot == "incremental"
                floors.add(change.source.lsn or 0)
                last.setdefault(change.after["id"], change.after)
        assert len(last) > ids / 2
    # Records of the WAL begin at multiples of eight: no change ever has the LSN of a row that was read.
    assert all(lsn % 8 for lsn in floors)
    assert source.counters.disconnects == 0


def test_the_order_of_a_topic_is_the_order_of_its_versions(
    dsn: str,
    sql: Sql,
    kafka: Connection,
    signalled: Configure,
    streaming: Start,
    messages: Callable[[CdcConfig, str], list[Any]],
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    """For readers that compare no LSN: no row of a chunk follows a newer one of its key."""
    sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    sql("INSERT INTO t SELECT g, 0 FROM generate_series(1, 500) g")
    config = signalled("public.t", snapshot="no_data", chunk_rows=50)
    source, _ = streaming(config)
    done = threading.Event()

    def count() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            draw = Random(5)
            while not done.is_set():
                connection.execute(
                    "UPDATE t SET n = n + 1 WHERE id BETWEEN %(id)s AND %(id)s + 9", {"id": draw.randint(1, 500)}
                )

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for number in range(1, 4):
            send(kafka, config, execute("public.t"))
            eventually(lambda snapshots=number: source.counters.snapshots == snapshots)
    finally:
        done.set()
        thread.join()
    caught_up(source)
    versions: dict[int, int] = {}
    read = 0
    for message in messages(config, "public.t"):
        event = json.loads(message.value())
        row = event["after"]
        assert row["n"] >= versions.get(row["id"], 0)
        versions[row["id"]] = row["n"]
        read += event["op"] == "r"
    assert versions == dict(sql("SELECT id, n FROM t"))
    assert read > 500


def test_a_snapshot_is_executed_paused_resumed_and_stopped_by_rows_of_the_signal_table(
    sql: Sql,
    kafka: Connection,
    configure: Configure,
    streaming: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql(SIGNALS)
    for table in ("t", "other"):
        sql(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        sql(f"INSERT INTO {table} SELECT generate_series(1, 3)")
    config = configure("public.t", "public.other", snapshot="no_data", signal_table="public.signals")
    source, stop = streaming(config)
    sql("INSERT INTO signals VALUES ('1', 'pause-snapshot', NULL)")
    sql(
        """INSERT INTO signals VALUES ('2', 'execute-snapshot', '{"data-collections": ["public.t", "public.other"]}')"""
    )
    sql("INSERT INTO signals VALUES ('3', 'nonsense', '{')")

    def waiting() -> list[str]:
        offset = last_offset(kafka, config)
        return [entry.table for entry in offset.snapshot.tables] if offset is not None and offset.snapshot else []

    eventually(lambda: waiting() == ["public.t", "public.other"])
    end(source, stop, sql, eventually)
    source, _ = streaming(structs.replace(config, snapshot="initial"))
    sql("""INSERT INTO signals VALUES ('4', 'stop-snapshot', '{"data-collections": ["public.other"]}')""")
    eventually(lambda: waiting() == ["public.t"])
    assert changes(config, "public.t") == []
    sql("INSERT INTO signals VALUES ('5', 'resume-snapshot', '{}')")
    eventually(lambda: source.counters.snapshots == 1)
    caught_up(source)
    assert reads(changes(config, "public.t")) == [1, 2, 3]
    assert changes(config, "public.other") == []


def test_a_signal_of_the_topic_reads_the_rows_that_meet_its_condition_and_a_wrong_one_ends_nothing(
    sql: Sql, kafka: Connection, signalled: Configure, streaming: Start, changes: Changes, eventually: Eventually
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    config = signalled("public.t", chunk_rows=10)
    source, stop = streaming(config)
    sql("INSERT INTO t SELECT g, chr(97 + g % 2) FROM generate_series(1, 50) g")
    for where in ("no_such_column = 1", "id = 'x'", "true) TO STDOUT; DROP TABLE t; --", "1 / (id - 1) = 0"):
        send(kafka, config, execute("public.t", where=where))
    send(kafka, config, execute("public.t"), name="another source")
    send(kafka, config, execute("public.t", where="a = 'b' -- odd numbers"))
    eventually(lambda: source.counters.snapshots >= 2)
    eventually(lambda: len(reads(changes(config, "public.t"))) == 25)
    assert reads(changes(config, "public.t")) == list(range(1, 51, 2))
    end(source, stop, sql, eventually)
    send(kafka, config, execute("public.t", where="id = 2"))  # while nobody is there
    streaming(config)
    eventually(lambda: reads(changes(config, "public.t"))[:2] == [1, 2])


def test_rows_without_key_are_read_in_one_piece_while_they_change(
    dsn: str,
    sql: Sql,
    kafka: Connection,
    signalled: Configure,
    streaming: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int, a text)")
    sql("ALTER TABLE t REPLICA IDENTITY FULL")
    sql("INSERT INTO t SELECT g, 'start' FROM generate_series(1, 5000) g")
    config = signalled("public.t", snapshot="no_data", chunk_rows=10)
    topic = structs.replace(config.topics["public.t"], name=f"{config.topics['public.t'].name}.plain", cleanup="delete")
    ensure_topics(kafka, [topic])
    config = structs.replace(config, topics={"public.t": topic})
    source, _ = streaming(config)
    send(kafka, config, execute("public.t"))
    sql("UPDATE t SET a = 'later' WHERE id <= 100")
    eventually(lambda: source.counters.snapshots == 1)
    caught_up(source)
    events = changes(config, "public.t")
    assert reads(events) == list(range(1, 5001))


@pytest.mark.parametrize("mode", ["initial", "always", "initial_only", "no_data", "when_needed"])
def test_a_snapshot_mode_reads_the_tables_when_debezium_does(
    sql: Sql,
    configure: Configure,
    start: Start,
    changes: Changes,
    eventually: Eventually,
    mode: str,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("INSERT INTO t VALUES (1), (2)")
    config = configure("public.t", snapshot=mode)
    ended = ("stopped",) if mode == "initial_only" else ("streaming",)
    for _ in range(2):
        source, stop = start(config)
        eventually(lambda source=source: source.counters.phase in ended)
        if mode == "always":
            eventually(lambda source=source: source.counters.snapshots == 1)
        if mode != "initial_only":
            caught_up(source)
        end(source, stop, sql, eventually)
    times = {"always": 2, "no_data": 0}.get(mode, 1)
    assert reads(changes(config, "public.t")) == sorted([1, 2] * times)
    slots = sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", config.slot)
    assert len(slots) == (0 if mode == "initial_only" else 1)


def test_a_table_is_altered_and_emptied_while_it_is_read(
    sql: Sql,
    kafka: Connection,
    signalled: Configure,
    streaming: Start,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t SELECT g, 'start' FROM generate_series(1, 20000) g")
    config = signalled("public.t", snapshot="no_data", chunk_rows=100)
    source, _ = streaming(config)
    send(kafka, config, execute("public.t"))
    eventually(lambda: source.counters.snapshot_rows > 0)
    sql("ALTER TABLE t ADD b int DEFAULT 7")
    sql("ALTER TABLE t DROP a")
    sql("ALTER TABLE t RENAME id TO key")
    eventually(lambda: source.counters.snapshots == 1)
    caught_up(source)
    rows = {row.get("key", row.get("id")): row for row in rebuilt(config, "public.t")}
    assert sorted(rows) == list(range(1, 20001))
    assert rows[20000] == {"b": 7, "key": 20000}
