"""Writes of vectors, and what lies in the stand-in for Pinecone (`service` and `opened` are in `conftest`)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pinecone import Pinecone

from connectors.sinks.pinecone import PineconeSink
from deploy.local.pinecone import PineconeStandIn
from schemas.writes import VectorWrite

SOURCE = "events"
BEYOND_THE_SDK = 4  # the SDK tries a request four times
NAMESPACES = ("conversations", "preferences", "places", "trips", "photos")

Opened = Callable[..., PineconeSink]


def write(entity: str, version: int, text: str = "", **changes: Any) -> VectorWrite:
    given: dict[str, Any] = {
        "entity": entity,
        "version": version,
        "source": SOURCE,
        "event_id": f"e{version}",
        "occurred_at": datetime(2026, 5, 1, tzinfo=UTC),
        "namespace": "places",
        "values": vector(1.0, 0.0),
        "model": "test",
        "text": text or f"text {version}",
    }
    return VectorWrite(**given | changes)


def vector(*values: float) -> bytes:
    return np.asarray(values, "<f4").tobytes()


def stored(service: PineconeStandIn, index: str = "travelos") -> dict[str, dict[str, Any]]:
    """Return all that lies in an index, by namespace and id."""
    service.settle()
    with Pinecone(api_key=service.api_key, host=service.url) as project, project.index(index) as opened:
        found: dict[str, dict[str, Any]] = {}
        for namespace in (*NAMESPACES, "entities"):
            ids = [one.id or "" for page in opened.list(namespace=namespace) for one in page.vectors]
            if ids:
                records = opened.fetch(ids=ids, namespace=namespace).vectors
                found[namespace] = {name: (one.values, one.metadata) for name, one in records.items()}
    return found


def texts(service: PineconeStandIn, namespace: str = "places") -> dict[str, str]:
    return {name: metadata["text"] for name, (_, metadata) in stored(service).get(namespace, {}).items()}
