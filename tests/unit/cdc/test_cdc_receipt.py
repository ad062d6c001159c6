"""One receipt for many records: it must neither come early nor be missing."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, Message, Producer

from connectors.cdc.envelope import Record
from connectors.cdc.errors import KafkaRefused
from connectors.cdc.publisher import Publisher
from connectors.cdc.receipt import Receipt
from connectors.kafka.connection import Connection

NOWHERE = Connection(bootstrap="127.0.0.1:1")
MESSAGE = cast(Message, None)


def test_it_acknowledges_once_when_nobody_holds_it_any_more() -> None:
    told: list[str] = []
    receipt = Receipt(lambda: told.append("acknowledged"), lambda: True, lambda error, _: pytest.fail(error.str()))
    held = [receipt] * 3
    del receipt
    while held:
        assert told == []
        held.pop()
    assert told == ["acknowledged"]


def test_a_record_that_is_given_up_is_told_and_acknowledges_nothing() -> None:
    told: list[Any] = []
    receipt = Receipt(lambda: told.append("acknowledged"), lambda: not told, lambda error, _: told.append(error.code()))
    receipt(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), MESSAGE)
    del receipt
    assert told == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_the_client_lets_go_of_it_with_the_last_of_its_records_and_not_before() -> None:
    # The client's own stand-in for brokers: what is relied on is how it holds its callbacks.
    producer = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1, "delivery.report.only.error": True})
    told: list[str] = []
    receipt = Receipt(lambda: told.append("acknowledged"), lambda: True, lambda error, _: pytest.fail(error.str()))
    for number in range(100):
        producer.produce("topic", b"%d" % number, on_delivery=receipt)
    del receipt
    assert told == []
    assert producer.flush(30) == 0
    assert told == ["acknowledged"]


def test_records_that_never_left_are_not_acknowledged_by_closing_the_publisher() -> None:
    publisher, told = Publisher(NOWHERE), list[str]()
    receipt = publisher.receipt(lambda: told.append("acknowledged"))
    for number in range(10):
        publisher.send("topic", Record(b"key", b"%d" % number), receipt)
    del receipt
    publisher.close()
    del publisher
    assert told == []


def test_records_beside_one_that_was_refused_are_not_acknowledged() -> None:
    publisher, told = Publisher(NOWHERE), list[str]()
    receipt = publisher.receipt(lambda: told.append("acknowledged"))
    publisher.send_all("topic", [{"key": b"key", "value": bytes(13 * 1024 * 1024), "callback": receipt}])
    del receipt
    assert told == []
    with pytest.raises(KafkaRefused, match="too large"):
        publisher.serve(0)
    publisher.close()
    assert told == []
