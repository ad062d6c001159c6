"""The conformance kit on InfluxDB 2.7."""

import hashlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import msgspec
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.conformance.subject import deliver, held
from connectors.sinks.contract import APPLIED, Held, Sink
from connectors.sinks.errors import Unavailable
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.queries import states
from deploy.local.influxdb import InfluxServer
from schemas.writes import TimeSeriesWrite
from tests.integration.sinks.no_room import without_room

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TIME = 1_777_000_000_123_456_789


class TestInfluxDB(SinkConformance[TimeSeriesWrite]):
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

    def full(self, place: str, sink: Sink[TimeSeriesWrite]) -> AbstractContextManager[object]:
        return without_room_until_restarted(self.server)

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

    def test_what_is_shown_and_is_not_on_the_disk_is_not_taken_for_written(self, place: str) -> None:
        """InfluxDB shows points that it could not write to its log, and has refused, until it is started again."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("kept", 1, 1), self.write("deleted", 1, 1)])
            batch = [self.write("entity", 1, 10), self.write("kept", 2, 20), self.delete("deleted", 2)]
            with without_room(self.server):
                for _ in range(3):  # from the second time on they can be read
                    with pytest.raises(Unavailable):
                        sink.write(batch)
            self.server.kill()
            self.server.start()
            assert deliver(sink, batch) == [APPLIED] * 3
        self.server.kill()
        self.server.start()
        with self.opened(place) as sink:
            found = held(sink, ["entity", "kept", "deleted"])
        assert found == {
            "entity": Held(version=1),
            "kept": Held(version=2),
            "deleted": Held(version=2, deleted=True, copies=0),
        }
        assert [self.content(place, name) for name in ("entity", "kept", "deleted")] == [10, 20, None]


@contextmanager
def without_room_until_restarted(server: InfluxServer) -> Generator[None]:
    """A log of which a write has failed takes no other one, until the server is started again."""
    with without_room(server):
        yield
    server.kill()
    server.start()


def tag_of(entity: str) -> str:
    """Line protocol has no line breaks in tags; everything else stands for itself."""
    return hashlib.sha256(entity.encode()).hexdigest() if "\n" in entity else entity
