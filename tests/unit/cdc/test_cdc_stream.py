"""The loop with stand-ins for the two servers, so that each can be slow, silent or late at will."""

import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from connectors.cdc import types
from connectors.cdc.acknowledgement import Acknowledgements
from connectors.cdc.catalog import ServerInfo
from connectors.cdc.config import CdcConfig
from connectors.cdc.counters import Counters
from connectors.cdc.envelope import Record
from connectors.cdc.errors import Disconnected, MalformedMessage
from connectors.cdc.found import Found
from connectors.cdc.offset_log import OffsetLog
from connectors.cdc.offsets import decode_offset
from connectors.cdc.outbox_options import Outbox
from connectors.cdc.publisher import ANY_PARTITION
from connectors.cdc.receipt import Receipt
from connectors.cdc.session import Session
from connectors.cdc.stop import Stop
from connectors.cdc.stream import Stream, status_interval
from connectors.cdc.transactions import TransactionReader
from schemas.topics import Catalogue

CATALOGUE = Catalogue(tables=["public.t"])
CONFIG = CdcConfig(dsn="", topics=CATALOGUE.changes, offsets=CATALOGUE.cdc_offsets, name="cdc.travel")
SERVER = ServerInfo(180_000, "1", "travel", "cdc", "logical", False, True, True, "UTF8", 1, 10, 60_000, 1)
START = 1_000
OID = 7


def data(lsn: int, message: bytes) -> bytes:
    return b"w" + struct.pack(">QQQ", lsn, lsn, 0) + message


def begin(lsn: int) -> bytes:
    return data(lsn, b"B" + struct.pack(">QqI", lsn, 0, 5))


def commit(lsn: int, end: int) -> bytes:
    return data(lsn, b"C" + struct.pack(">BQQq", 0, lsn, end, 0))


def relation(name: bytes = b"t") -> bytes:
    column = b"\1id\0" + struct.pack(">Ii", types.INT4, -1)
    return data(0, b"R" + struct.pack(">I", OID) + b"public\0" + name + b"\0d" + struct.pack(">H", 1) + column)


def delete(lsn: int, key: int = 1) -> bytes:
    return data(lsn, b"D" + struct.pack(">I", OID) + b"K" + insert(lsn, key)[31:])


def insert(lsn: int, key: int = 1) -> bytes:
    text = b"%d" % key
    return data(lsn, b"I" + struct.pack(">I", OID) + b"N\0\1t" + struct.pack(">I", len(text)) + text)


def keepalive(lsn: int, *, reply: bool = False) -> bytes:
    return b"k" + struct.pack(">QqB", lsn, 0, reply)


def transaction(lsn: int, rows: int = 1) -> list[bytes]:
    return [begin(lsn), *(insert(lsn + row, row) for row in range(rows)), commit(lsn + rows, lsn + rows + 1)]


class Server:
    """Stands for the replication connection."""

    def __init__(self) -> None:
        self.sends: deque[list[bytes]] = deque()
        self.reads = 0
        self.statuses: list[tuple[int, int, bool]] = []

    def read(self, timeout: float) -> list[bytes]:
        self.reads += 1
        return self.sends.popleft() if self.sends else []

    def send_status(self, *, received: int, confirmed: int, reply: bool = False) -> None:
        self.statuses.append((received, confirmed, reply))

    @property
    def confirmed(self) -> int:
        return self.statuses[-1][1] if self.statuses else 0


class Kafka:
    """Stands for the publisher; a record is acknowledged when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Record, Receipt]] = []
        self.taken: list[tuple[str, Record]] = []
        self.room = True

    @property
    def queued(self) -> int:
        return len(self.waiting)

    def receipt(self, acknowledged: Callable[[], None]) -> Receipt:
        return Receipt(acknowledged, lambda: True, lambda error, _: pytest.fail(error.str()))

    def send(self, topic: str, record: Record, receipt: Receipt, partition: int = ANY_PARTITION) -> None:
        self.waiting.append((topic, record, receipt))

    def send_all(self, topic: str, records: list[dict[str, Any]]) -> None:
        for one in records:
            self.send(topic, Record(one["key"], one["value"]), one["callback"])

    def acknowledge(self, count: int | None = None, *, place: int = 0) -> None:
        for _ in range(len(self.waiting) if count is None else count):
            topic, record, _ = self.waiting.pop(place)  # as Kafka's client lets go of a record that is delivered
            self.taken.append((topic, record))

    def serve(self, timeout: float) -> None:
        pass

    def flush(self, timeout: float) -> bool:
        self.acknowledge()
        return True

    def offsets(self) -> list[int]:
        return [decode_offset(record.value or b"").lsn for topic, record in self.taken if topic == "cdc.offsets"]


class Control:
    """Stands for the ordinary connection."""

    def __init__(self) -> None:
        self.heartbeats = 0

    def execute(self, query: bytes, parameters: object = None) -> "Control":
        self.heartbeats += b"pg_logical_emit_message" in query
        return self

    def fetchone(self) -> None:
        return None


class Harness:
    """A stream with its stand-ins and a clock that only the test moves."""

    def __init__(self, config: CdcConfig = CONFIG) -> None:
        self.server, self.kafka, self.control = Server(), Kafka(), Control()
        self.counters = Counters()
        self.now = 0.0
        offsets = OffsetLog(cast(Any, self.kafka), "cdc.offsets", "travelos", "1")
        offsets.resume(START)
        self.stop = Stop()
        session = Session(
            config=config,
            found=Found(SERVER, [], None, None),
            control=cast(Any, self.control),
            replication=cast(Any, self.server),
            publisher=cast(Any, self.kafka),
            offsets=offsets,
            counters=self.counters,
            stop=self.stop,
        )
        self.window = session.window
        acknowledgements = Acknowledgements(START)
        reader = TransactionReader(session, acknowledgements)
        self.stream = Stream(session, reader, acknowledgements, clock=lambda: self.now)

    def turn(self, *messages: bytes, seconds: float = 0.0) -> None:
        """Let the loop go round once."""
        self.server.sends.append(list(messages))
        self.now += seconds
        self.stop.requested = False
        serve = self.kafka.serve

        def stop_after_this(timeout: float) -> None:
            self.stop.request()
            serve(timeout)

        self.kafka.serve = stop_after_this
        self.stream.run()
        self.kafka.serve = serve


def test_the_server_hears_nothing_of_a_transaction_before_kafka_and_the_offset_have_it() -> None:
    harness = Harness()
    harness.turn(relation(), *transaction(2_000, rows=2), seconds=2)
    assert harness.kafka.queued == 2
    assert harness.server.confirmed <= START
    harness.kafka.acknowledge()
    harness.turn(seconds=2)
    assert harness.kafka.queued == 1  # the offset
    assert harness.server.confirmed <= START
    harness.kafka.acknowledge()
    harness.turn()
    assert harness.server.confirmed == 2_003
    assert harness.kafka.offsets() == [2_003]


def test_idle_tables_release_the_wal_that_others_fill() -> None:
    harness = Harness()
    harness.turn(keepalive(50_000), seconds=2)
    harness.kafka.acknowledge()
    harness.turn()
    assert harness.server.confirmed == 50_000


def test_a_keepalive_confirms_nothing_that_is_on_its_way() -> None:
    harness = Harness()
    harness.turn(relation(), *transaction(2_000), keepalive(50_000), seconds=2)
    harness.turn(seconds=2)
    assert harness.server.confirmed <= START
    assert harness.kafka.offsets() == []


def test_a_status_goes_out_while_kafka_takes_nothing() -> None:
    harness = Harness()
    harness.kafka.room = False
    reads = harness.server.reads
    for _ in range(10):
        harness.turn(seconds=10)
    assert harness.server.reads == reads
    assert len(harness.server.statuses) == 10


def test_statuses_are_as_frequent_as_the_server_needs_them() -> None:
    assert status_interval(10, 60_000) == 10
    assert status_interval(10, 3_000) == 1
    assert status_interval(10, 0) == 10


def test_a_server_that_asks_is_answered_at_once() -> None:
    harness = Harness()
    harness.turn(seconds=10)
    told = len(harness.server.statuses)
    harness.turn(seconds=0.5)
    assert len(harness.server.statuses) == told
    harness.turn(keepalive(50_000, reply=True), seconds=0.01)
    assert len(harness.server.statuses) == told + 1
    harness.kafka.acknowledge()
    harness.turn(seconds=0.01)
    assert harness.server.confirmed == 50_000


def test_each_regular_status_asks_how_far_the_server_is() -> None:
    harness = Harness()
    harness.turn(seconds=10)
    harness.turn(seconds=10)
    assert [reply for *_, reply in harness.server.statuses] == [True, True]


def test_a_heartbeat_is_written_every_ten_seconds() -> None:
    harness = Harness()
    for _ in range(30):
        harness.turn(keepalive(0), seconds=1)
    assert harness.control.heartbeats == 3


def test_a_silent_server_is_taken_for_a_lost_one() -> None:
    harness = Harness()
    harness.turn(seconds=59)
    with pytest.raises(Disconnected, match=r"source\.dsn: the server has been silent for 60 s"):
        harness.turn(seconds=2)


def test_who_does_not_read_does_not_call_the_server_silent() -> None:
    harness = Harness()
    harness.kafka.room = False
    for _ in range(100):
        harness.turn(seconds=10)
    harness.kafka.room = True
    harness.turn(seconds=1)


def test_the_end_waits_for_kafka_and_tells_the_server() -> None:
    harness = Harness()
    harness.turn(relation(), *transaction(2_000))
    harness.stream.finish(6)
    assert harness.kafka.offsets() == [2_002]
    assert harness.server.confirmed == 2_002


def test_tables_that_are_not_captured_make_no_records_and_hold_nothing_back() -> None:
    harness = Harness()
    harness.turn(relation(b"other"), *transaction(2_000), seconds=2)
    assert harness.counters.created == 0
    harness.kafka.acknowledge()
    harness.turn()
    assert harness.server.confirmed == 2_002


def test_truncates_and_logical_messages_are_counted_and_make_no_records() -> None:
    harness = Harness()
    truncate = data(2_001, b"T" + struct.pack(">IBI", 1, 0, OID))
    message = data(2_002, b"M" + struct.pack(">BQ", 1, 2_002) + b"p\0" + struct.pack(">I", 0))
    harness.turn(relation(), begin(2_000), truncate, message, commit(2_003, 2_004))
    assert (harness.counters.truncates_skipped, harness.counters.messages_skipped) == (1, 1)
    assert harness.kafka.queued == 0


def test_rows_that_were_read_of_an_outbox_are_sent_though_they_are_deleted_meanwhile() -> None:
    columns = Outbox(table="public.t", id="id", key="id", payload="id", route_by="id", topic="outbox")
    truncate = data(2_003, b"T" + struct.pack(">IBI", 1, 0, OID))
    for outbox, left in ((columns, {(b"2",), (b"3",)}), (None, {(b"3",)})):
        harness = Harness(structs.replace(CONFIG, outbox=outbox))
        harness.window.open("public.t", ["id"])
        for key in (b"1", b"2", b"3"):
            harness.window.add((key,), [key])
        harness.turn(relation(), begin(2_000), insert(2_001, 1), delete(2_002, 2), truncate, commit(2_003, 2_004))
        assert set(harness.window.rows) == left
        assert harness.window.spoiled == (outbox is None)


def test_the_sequence_names_the_commit_before() -> None:
    harness = Harness()
    harness.turn(relation(), *transaction(2_000), *transaction(3_000))
    harness.kafka.acknowledge()
    values = [record.value or b"" for _, record in harness.kafka.taken]
    assert b'"sequence":"[null,\\"2000\\"]"' in values[0]
    assert b'"sequence":"[\\"2002\\",\\"3000\\"]"' in values[1]


@pytest.mark.parametrize(
    "messages",
    [
        [insert(1)],
        [begin(1), insert(2)],
        [commit(1, 2)],
        [b"x" + bytes(30)],
        [b"k"],
        [b"w"],
        [b"w" + bytes(24)],
        [keepalive(1) + b"x"],
    ],
)
def test_a_stream_that_makes_no_sense_ends_with_a_typed_error(messages: list[bytes]) -> None:
    harness = Harness()
    with pytest.raises(MalformedMessage):
        harness.turn(*messages)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 20)), max_size=30))
def test_whatever_the_order_of_acknowledgements_the_server_never_hears_more_than_the_offsets(
    turns: list[tuple[int, int, int]],
) -> None:
    harness = Harness()
    harness.turn(relation())
    lsn, ends = 2_000, dict[int, int]()
    for rows, acknowledged, place in turns:
        ends[lsn + rows + 1] = rows
        harness.turn(*transaction(lsn, rows), seconds=2)
        lsn += rows + 1
        for _ in range(min(acknowledged, harness.kafka.queued)):
            harness.kafka.acknowledge(1, place=place % harness.kafka.queued)
        harness.turn(seconds=2)
        offsets = harness.kafka.offsets()
        assert harness.server.confirmed <= max([START, *offsets])
        rows_taken = sum(topic != "cdc.offsets" for topic, _ in harness.kafka.taken)
        for offset in offsets:
            assert rows_taken >= sum(count for end, count in ends.items() if end <= offset)
    harness.stream.finish(6)
    assert harness.server.confirmed == (lsn if turns else START)
