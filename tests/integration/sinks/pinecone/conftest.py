"""A stand-in for Pinecone, which has no server that could be had."""

from collections.abc import Generator
from typing import Any

import pytest

from connectors.sinks.pinecone import PineconeOptions, PineconeSink
from deploy.local.pinecone import PineconeStandIn
from tests.integration.sinks.pinecone.pinecone_writes import Opened


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Generator[PineconeStandIn]:
    """The stand-in for Pinecone."""

    def no_pause(_: float) -> None:
        return None

    # The pauses between the SDK's own tries; it names this place for tests.
    monkeypatch.setattr("pinecone._internal.http_client._retry_sleep", no_pause)
    service = PineconeStandIn()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def opened(service: PineconeStandIn) -> Generator[Opened]:
    """Open a sink of the stand-in, with options."""
    sinks: list[PineconeSink] = []

    def open_one(**options: Any) -> PineconeSink:
        given: dict[str, Any] = {
            "url": service.url,
            "api_key": service.api_key,
            "dimension": 2,
            "freshness_seconds": 2.0,
        }
        sinks.append(PineconeSink(PineconeOptions(**given | options)))
        sinks[-1].open()
        return sinks[-1]

    yield open_one
    for sink in sinks:
        sink.close()
