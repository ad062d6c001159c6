"""Agents that take batches on real Kafka: totals, dead letters, and a record that kills the process."""

import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import KafkaServer
from schemas.headers import ATTEMPTS, ERROR_CLASS, ERROR_CONNECTOR, ERROR_MESSAGE, ERROR_OFFSET, ERROR_STAGE, header_map
from streams.supervisor import RoleProcess

pytestmark = pytest.mark.integration

APP = Path(__file__).with_name("batches_app.py")
PARTITIONS = 2
PATIENCE_SECONDS = 200.0


class Shop:
    """The app of batches_app.py: its topics, its worker, what went in and what came out."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self.worker = RoleProcess(
            "worker",
            ("worker", "--without-web", "-l", "info"),
            folder=folder,
            env={
                "APP_PREFIX": prefix,
                "APP_PARTITIONS": str(PARTITIONS),
                "APP_BOOTSTRAP": bootstrap,
                "APP_FOLDER": str(folder / "state"),
                "PYTHONPATH": str(APP.parents[3]),
            },
            program=(sys.executable, str(APP)),
        )
        topics = [NewTopic(f"{prefix}{name}", PARTITIONS, 1) for name in ("orders", "totals", "dead")]
        topics.append(NewTopic(f"{prefix}totals-log", PARTITIONS, 1, config={"cleanup.policy": "compact"}))
        admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        for created in admin.create_topics(topics).values():
            created.result(30)

    def produce(self, values: Sequence[bytes | None]) -> None:
        """Send values under the key of their customer, all to one partition."""
        producer = Producer(self.connection.producer())
        for value in values:
            producer.produce(f"{self.prefix}orders", key=b"key", value=value, headers=[("trace", b"1")])
        assert producer.flush(30) == 0

    def records(self, topic: str) -> list[StoredRecord]:
        return read_topics(self.connection, [f"{self.prefix}{topic}"])

    def totals(self) -> dict[str, int]:
        """Return the highest total that was told of each customer."""
        found: dict[str, int] = {}
        for record in self.records("totals"):
            customer = (record.key or b"").decode()
            found[customer] = max(found.get(customer, 0), int(record.value or b"0"))
        return found

    def finished(self) -> bool:
        """Whether all orders are committed; a worker that has died is started again."""
        self.worker.check()
        meter = LagMeter(self.connection, f"{self.prefix}shop")
        try:
            return all(one.lag == 0 for one in meter.progress([f"{self.prefix}orders"]).values())
        finally:
            meter.close()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fails with the end of the log when it does not come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {PATIENCE_SECONDS:.0f} s\n{self.worker.last_lines()}")
            time.sleep(0.1)  # between two looks


@pytest.fixture
def shop(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(kafka_server.bootstrap, f"t{zlib.crc32(request.node.nodeid.encode()):08x}.", tmp_path)
    yield made
    made.worker.stop()


def order(customer: str, does: str = "nothing") -> bytes:
    return msgspec.json.encode({"customer": customer, "amount": 2, "does": does})


def test_totals_are_told_and_whatever_is_wrong_with_a_record_it_alone_is_dead_lettered(shop: Shop) -> None:
    good = [f"customer-{number % 7}" for number in range(2_000)]
    values: list[bytes | None] = [order(customer) for customer in good]
    bad = {100: b"{", 500: order("x", "raise"), 900: order("x", "reject"), 1_300: None, 1_301: order("x", "raise")}
    for offset, value in bad.items():
        values.insert(offset, value)
    shop.produce(values)
    shop.worker.start()
    shop.wait_for(shop.finished)
    assert shop.totals() == {customer: 2 * count for customer, count in Counter(good).items()}
    assert len(shop.records("totals")) == len(good)
    letters = {int(header_map(one.headers)[ERROR_OFFSET]): one for one in shop.records("dead")}
    assert {offset: one.value for offset, one in letters.items()} == bad
    said = {offset: header_map(one.headers) for offset, one in letters.items()}
    classes = ["DecodeError", "ArithmeticError", "Rejected", "NullValue", "ArithmeticError"]
    assert [said[offset][ERROR_CLASS] for offset in sorted(said)] == classes
    assert [said[offset][ATTEMPTS] for offset in sorted(said)] == ["1", "2", "1", "1", "2"]
    assert {one["trace"] for one in said.values()} == {"1"}
    assert {one[ERROR_CONNECTOR] for one in said.values()} == {f"{shop.prefix}shop.add_up"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_record_that_kills_the_process_is_set_aside_in_the_end_and_all_others_count_once(shop: Shop) -> None:
    good = [f"customer-{number % 7}" for number in range(200)]
    values = [order(customer) for customer in good]
    values.insert(120, order("x", "kill"))
    shop.produce(values)
    shop.worker.start()
    shop.wait_for(shop.finished)
    # Twice in its run, once in its group of 32, three times alone: the six deaths of docs/decisions/0009.
    assert shop.worker.restarts == 6
    assert shop.totals() == {customer: 2 * count for customer, count in Counter(good).items()}
    [letter] = shop.records("dead")
    said = header_map(letter.headers)
    assert letter.value == order("x", "kill")
    assert (said[ERROR_OFFSET], said[ERROR_CLASS], said[ERROR_STAGE]) == ("120", "CrashedProcess", "process")
    assert "died 3 times in a row" in said[ERROR_MESSAGE]
    assert "offset 120" in said[ERROR_MESSAGE]
