"""How many series the InfluxDB sink lets a bucket have, on InfluxDB 2.7."""

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Rejected
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.influxdb.client import InfluxClient
from tests.integration.sinks.influxdb.influx_points import point

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_new_series_beyond_the_limit_are_rejected_and_known_ones_go_on(options: InfluxOptions) -> None:
    for attempt in (1, 2):  # the second sink learns from the bucket what the first has made
        sink = InfluxSink(msgspec.structs.replace(options, max_series=3))
        sink.open()
        batch = [point(n, attempt, tags={"user_id": f"u {n}"}) for n in range(3)]
        outcomes = sink.write([*batch, point(5, attempt, tags={"user_id": "one more"})])
        assert outcomes[:3] == [APPLIED] * 3
        assert isinstance(outcomes[3], Rejected)
        assert "max_series" in outcomes[3].reason
        sink.close()


def test_a_bucket_that_has_more_series_than_the_limit_goes_on_with_all_of_them(options: InfluxOptions) -> None:
    batch = [point(n, tags={"user_id": f"u {n}"}) for n in range(4)]
    for limit, outcome in ((10, APPLIED), (2, SUPERSEDED)):
        sink = InfluxSink(msgspec.structs.replace(options, max_series=limit))
        sink.open()
        assert sink.write(batch) == [outcome] * 4
        assert sink.write([point(100 + n, tags=one.tags) for n, one in enumerate(batch, limit)]) == [APPLIED] * 4
        sink.close()


def test_tombstones_are_not_counted_as_series(options: InfluxOptions) -> None:
    limited = msgspec.structs.replace(options, max_series=3)
    sink = InfluxSink(limited)
    sink.open()
    batch = [point(n, tags={"user_id": f"u {n % 3}"}) for n in range(6)]
    assert sink.write(batch) == [APPLIED] * 6
    assert sink.write([msgspec.structs.replace(one, version=2, op="delete") for one in batch[:3]]) == [APPLIED] * 3
    sink.close()
    sink = InfluxSink(limited)  # learns from the bucket, where each of the series has one of tombstones beside it
    sink.open()
    outcomes = sink.write([point(6, tags={"user_id": "u 0"}), point(7, tags={"user_id": "one more"})])
    sink.close()
    assert outcomes[0] == APPLIED
    assert isinstance(outcomes[1], Rejected)


def test_series_are_learned_in_parts_and_none_is_left_out(options: InfluxOptions, sink: InfluxSink) -> None:
    assert sink.write([point(n, tags={"user_id": f"u{n}"}) for n in range(10)]) == [APPLIED] * 10
    assert sink.write([point(n, version=2, op="delete", tags={"user_id": f"u{n}"}) for n in range(3)]) == [APPLIED] * 3
    client = InfluxClient(options)
    for at_once in (1, 3, 7, 1_000):
        assert client.series(at_once) == {f"gps,user_id=u{n}" for n in range(3, 10)}
    client.close()
