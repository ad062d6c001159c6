"""The conformance kit on InfluxDB 2.7."""

import hashlib
from uuid import uuid4

import msgspec
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.queries import states
from deploy.local.influxdb import InfluxServer
from schemas.writes import TimeSeriesWrite

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TIME = 1_777_000_000_123_456_789


class TestInfluxDB(SinkConformance[TimeSeriesWrite]):
    among = 1_000  # each is a series, which is what costs
    server: InfluxServer

    @pytest.fixture(autouse=True)
    def _server(self, influx_server: InfluxServer) -> None:
        self.server = influx_server

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"bucket-{uuid4().hex}"

    def options(self, place: str) -> InfluxOptions:
        return InfluxOptions(
            url=self.server.address, token=self.server.token, organisation=self.server.organisation, bucket=place
        )

    def sink(self, place: str) -> InfluxSink:
        return InfluxSink(self.options(place))

    def stranger(self, place: str) -> InfluxSink:
        return InfluxSink(msgspec.structs.replace(self.options(place), token="another"))

    def good(self, entity: str, version: int, source: str, content: int) -> TimeSeriesWrite:
        return TimeSeriesWrite(
            **self.common(entity, version, source),
            measurement="gps",
            tags={"user_id": tag_of(entity), "device": "phone"},
            time_ns=TIME,
            fields={"content": content},
        )

    def bad(self, entity: str, version: int, source: str) -> TimeSeriesWrite:
        common = self.common(entity, version, source)
        return TimeSeriesWrite(**common, measurement="gps", tags={}, time_ns=0, fields={"speed": float("nan")})

    def content(self, place: str, entity: str) -> int | None:
        client = InfluxClient(self.options(place))
        rows = client.ask(['SELECT * FROM "gps" GROUP BY *'])
        client.close()
        assert len(states(rows)) == len(rows)
        found = [fields["content"] for _, tags, _, fields in rows if tags["user_id"] == tag_of(entity)]
        assert len(found) <= 1
        return found[0] if found else None


def tag_of(entity: str) -> str:
    """Line protocol has no line breaks in tags; everything else stands for itself."""
    return hashlib.sha256(entity.encode()).hexdigest() if "\n" in entity else entity
