"""Low-priority writes are put off while a store lags behind, and are all there in the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import read_topics
from schemas.events import Event, MessageSent
from schemas.headers import LOW_PRIORITY
from streams.app import group_of

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(240)]

START = datetime.now(UTC) - timedelta(hours=1)
# So slow that the lag is still there when it is looked at, and when more comes.
SLOW = {"stores.warehouse.shed_lag": 500, "stores.warehouse.rate_limit": 500, "stores.warehouse.linger_ms": 20}


def messages(count: int, first: int) -> Sequence[Event]:
    return [
        MessageSent(
            event_id=f"m{number}",
            user_id=f"u{number % 50}",
            occurred_at=START + timedelta(seconds=number),
            conversation_id=f"c{number % 50}",
            role="user",
            text=f"message {number}",
        )
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("pipeline", [SLOW], indirect=True)
def test_low_priority_is_deferred_over_the_lag_and_drained_below_it(pipeline: Any) -> None:
    with pipeline.producer() as producer:
        for low, normal in zip(messages(4_000, 0), messages(4_000, 10_000), strict=True):
            producer.publish(low, priority="low")
            producer.publish(normal)
    pipeline.start("ingest")
    pipeline.wait_for(lambda: pipeline.lag("ingest") == 0, "all writes are in their topics")
    deliver = pipeline.start("deliver")
    pipeline.wait_for(lambda: "low_priority_deferred" in deliver.log_file.read_text(), "the lag is seen")
    # What the worker has taken until then stays in its queues, and that may be all there was.
    with pipeline.producer() as producer:
        for low in messages(200, 20_000):
            producer.publish(low, priority="low")
    deferred = pipeline.catalogue.deferred("warehouse").name
    pipeline.settle()
    meter = LagMeter(pipeline.options.kafka.connection(), group_of("deliver", pipeline.options))
    try:
        pipeline.wait_for(lambda: meter.progress([deferred])[deferred].lag == 0, "what was put off is drained")
    finally:
        meter.close()
    put_off = read_topics(pipeline.options.kafka.connection(), [deferred])
    assert len(put_off) >= 200
    assert all(LOW_PRIORITY in record.headers for record in put_off)
    log = deliver.log_file.read_text()
    assert log.index("low_priority_deferred") < log.index("deferred_drained")
    with pipeline.readers().warehouse() as reader:
        assert reader.query("SELECT count(*) AS n FROM events") == [{"n": 8_200}]
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report
