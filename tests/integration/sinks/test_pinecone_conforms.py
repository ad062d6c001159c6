"""The conformance kit on the stand-in for Pinecone: with writes that show at once, and with writes that show later."""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from pinecone import Pinecone
from pinecone.index import Index

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.pinecone import PineconeOptions, PineconeSink
from deploy.local.pinecone import PineconeProcess, PineconeStandIn
from deploy.local.proxy import FaultProxy
from schemas.writes import VectorWrite

pytestmark = pytest.mark.slow

DIMENSION = 8


class TestPinecone(SinkConformance[VectorWrite]):
    service: PineconeStandIn
    project: Pinecone
    reading: Index | None = None
    lags: tuple[float, ...] = (0.0,)

    @pytest.fixture(autouse=True)
    def _service(self) -> Iterator[None]:
        self.service = PineconeStandIn(lags=self.lags)
        self.service.start()
        with Pinecone(api_key=self.service.api_key, host=self.service.url) as self.project:
            yield
        if self.reading is not None:
            self.reading.close()
        self.service.stop()

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"index-{uuid4().hex[:16]}"

    def options(self, place: str) -> PineconeOptions:
        return PineconeOptions(
            url=self.service.url,
            api_key=self.service.api_key,
            index=place,
            dimension=DIMENSION,
            version_index=f"{place}-versions",
            freshness_seconds=1.5,
        )

    def sink(self, place: str) -> PineconeSink:
        return PineconeSink(self.options(place))

    def stranger(self, place: str) -> PineconeSink:
        return PineconeSink(msgspec.structs.replace(self.options(place), api_key="another"))

    def full(self, place: str, sink: Sink[VectorWrite]) -> AbstractContextManager[object]:
        return without_quota(self.service)

    def good(self, entity: str, version: int, source: str, content: int) -> VectorWrite:
        return VectorWrite(
            **self.common(entity, version, source),
            namespace="conversations",
            values=vector_of(entity),
            model="test",
            text=f"{content}",
            metadata={"about": entity},
        )

    def bad(self, entity: str, version: int, source: str) -> VectorWrite:
        values = np.full(DIMENSION, np.nan, "<f4").tobytes()
        return VectorWrite(**self.common(entity, version, source), namespace="conversations", values=values)

    def visible(self, place: str) -> None:
        self.service.settle()  # a reader of Pinecone sees it sooner or later

    def content(self, place: str, entity: str) -> int | None:
        self.visible(place)
        self.reading = self.reading or self.project.index(place)
        found = self.reading.query(
            vector=np.frombuffer(vector_of(entity), "<f4").tolist(),
            top_k=5,
            namespace="conversations",
            filter={"entity": {"$eq": entity}},
            include_metadata=True,
        )
        assert len(found.matches) <= 1
        metadata = found.matches[0].metadata if found.matches else None
        return int(metadata["text"]) if metadata else None


class TestEventuallyConsistentPinecone(TestPinecone):
    """Each of two replicas shows a write at its own time, and either of them may answer."""

    lags = (0.0, 0.01)
    many = among = 300


@contextmanager
def without_quota(service: PineconeStandIn) -> Generator[None]:
    """Pinecone has no disk that could be full, but plans with a limit of what may be stored."""
    service.full = True
    yield
    service.full = False


def test_a_stand_in_behind_something_else_says_that_its_indexes_are_there_too(tmp_path: Path) -> None:
    """Else all that comes after the first question would go past a proxy."""
    server = PineconeProcess(tmp_path)
    server.start()
    try:
        with (
            FaultProxy("127.0.0.1", server.port) as proxy,
            Pinecone(api_key=server.api_key, host=f"http://127.0.0.1:{proxy.port}") as project,
        ):
            field = {"type": "dense_vector", "dimension": DIMENSION, "metric": "cosine"}
            deployment = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
            project.indexes.create(name="some", schema={"fields": {"_values": field}}, deployment=deployment)
            assert project.indexes.describe("some").host == f"http://127.0.0.1:{proxy.port}/some"
    finally:
        server.delete()


def vector_of(entity: str) -> bytes:
    values = np.frombuffer(hashlib.sha256(entity.encode()).digest(), np.uint8)[:DIMENSION].astype("<f4") - 127.5
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()
