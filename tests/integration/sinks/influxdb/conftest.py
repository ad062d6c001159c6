"""A bucket of its own for each test of the InfluxDB sink."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from deploy.local.influxdb import InfluxServer


@pytest.fixture
def options(influx_server: InfluxServer) -> InfluxOptions:
    return InfluxOptions(
        url=influx_server.address,
        token=influx_server.token,
        organisation=influx_server.organisation,
        bucket=f"bucket-{uuid4().hex}",
    )


@pytest.fixture
def sink(options: InfluxOptions) -> Iterator[InfluxSink]:
    sink = InfluxSink(options)
    sink.open()
    yield sink
    sink.close()
