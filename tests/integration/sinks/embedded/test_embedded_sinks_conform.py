# pyright: reportUnknownMemberType=false
"""The conformance kit on every embedded sink that needs no server."""

import errno
import hashlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.embedded import EmbeddedReaders, embedded_sink
from connectors.sinks.sqlite.sink import SQLiteSink
from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    SearchWrite,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

W = TypeVar("W", bound=BaseWrite)


def readers(place: str) -> EmbeddedReaders:
    return EmbeddedReaders(Path(place), "")


class OnSQLite(SinkConformance[W]):
    def full(self, place: str, sink: Sink[W]) -> AbstractContextManager[object]:
        return without_pages(cast("SQLiteSink[Any]", sink))


@contextmanager
def without_pages(sink: SQLiteSink[Any]) -> Generator[None]:
    """SQLite answers as on a full disk (SQLITE_FULL) once its file has as many pages as it may have."""
    sink.connection.pragma("max_page_count", sink.connection.pragma("page_count"))
    yield
    sink.connection.pragma("max_page_count", 1_000_000)


@contextmanager
def unflushable(flush: str) -> Generator[None]:
    """The disk says that it is full when files are flushed, which is when ext4 and NFS may say so."""

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, refuse)
        yield


class TestGraphNodes(OnSQLite[GraphWrite]):
    def sink(self, place: str) -> Sink[GraphWrite]:
        return embedded_sink("graph", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> GraphWrite:
        common = self.common(entity, version, source)
        return GraphWrite(**common, node=NodeRef("Place", entity), properties={"content": content, "name": "🍕"})

    def bad(self, entity: str, version: int, source: str) -> GraphWrite:
        return GraphWrite(**self.common(entity, version, source), properties={"content": 1})

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).graph() as reader:
            properties = reader.node(NodeRef("Place", entity))
            return None if properties is None else properties["content"]


class TestGraphRelations(OnSQLite[GraphWrite]):
    def sink(self, place: str) -> Sink[GraphWrite]:
        return embedded_sink("graph", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> GraphWrite:
        ends: dict[str, Any] = {"start": NodeRef("User", "u1"), "end": NodeRef("Place", entity)}
        return GraphWrite(
            **self.common(entity, version, source), relation="VISITED", **ends, properties={"content": content}
        )

    def bad(self, entity: str, version: int, source: str) -> GraphWrite:
        return GraphWrite(**self.common(entity, version, source), relation="VISITED", start=NodeRef("User", "u1"))

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).graph() as reader:
            found = reader.neighbours(NodeRef("Place", entity))
            assert len(found) <= 1
            return found[0].properties["content"] if found else None


class TestVector(OnSQLite[VectorWrite]):
    def sink(self, place: str) -> Sink[VectorWrite]:
        return embedded_sink("vector", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> VectorWrite:
        return VectorWrite(
            **self.common(entity, version, source),
            namespace="conversations",
            values=vector_of(entity),
            model="test",
            text=f"{content}",
            metadata={"entity": entity},
        )

    def bad(self, entity: str, version: int, source: str) -> VectorWrite:
        values = np.full(8, np.nan, "<f4").tobytes()
        return VectorWrite(
            **self.common(entity, version, source), namespace="conversations", values=values, model="test"
        )

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).vector() as reader:
            found = reader.nearest("conversations", vector_of(entity), 5, filters={"entity": entity})
            assert len(found) <= 1
            return int(found[0].text) if found else None


class TestSearch(OnSQLite[SearchWrite]):
    def sink(self, place: str) -> Sink[SearchWrite]:
        return embedded_sink("search", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> SearchWrite:
        return SearchWrite(
            **self.common(entity, version, source),
            kind="restaurant",
            name=word_of(entity),
            text=f"serves {content}",
            lat=40 + content % 7 / 10,
            lon=-74.0,
            fields={"content": content},
        )

    def bad(self, entity: str, version: int, source: str) -> SearchWrite:
        return SearchWrite(**self.common(entity, version, source), name="nowhere", lat=95.0, lon=0.0)

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).search() as reader:
            by_word = reader.matching(word_of(entity))
            assert len(by_word) <= 1
            around = reader.within(40, -74, 500_000, words=word_of(entity))
            assert [found.entity for found in around] == [found.entity for found in by_word]
            return by_word[0].fields["content"] if by_word else None


class TestTimeSeries(OnSQLite[TimeSeriesWrite]):
    def sink(self, place: str) -> Sink[TimeSeriesWrite]:
        return embedded_sink("timeseries", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> TimeSeriesWrite:
        return TimeSeriesWrite(
            **self.common(entity, version, source),
            measurement="gps",
            tags={"user_id": entity, "device": "phone"},
            time_ns=1_777_000_000_123_456_789,
            fields={"content": content},
        )

    def bad(self, entity: str, version: int, source: str) -> TimeSeriesWrite:
        common = self.common(entity, version, source)
        return TimeSeriesWrite(**common, measurement="gps", tags={}, time_ns=0, fields={"speed": float("nan")})

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).timeseries() as reader:
            points = reader.range("gps", {"user_id": entity})
            assert len(points) <= 1
            return points[0].fields["content"] if points else None


class TestCache(OnSQLite[CacheWrite]):
    def sink(self, place: str) -> Sink[CacheWrite]:
        return embedded_sink("cache", Path(place), "")

    def good(self, entity: str, version: int, source: str, content: int) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=[content], ttl_seconds=3_600)

    def bad(self, entity: str, version: int, source: str) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=1, ttl_seconds=0)

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).cache() as reader:
            entry = reader.get(entity)
            return None if entry is None else entry.value[0]


class TestObjects(SinkConformance[ObjectWrite]):
    many = 100  # each is flushed to the disk
    among = 1_000

    def sink(self, place: str) -> Sink[ObjectWrite]:
        return embedded_sink("objects", Path(place), "")

    def full(self, place: str, sink: Sink[ObjectWrite]) -> AbstractContextManager[object]:
        return unflushable("connectors.sinks.folder.sink._flush")

    def good(self, entity: str, version: int, source: str, content: int) -> ObjectWrite:
        common = self.common(entity, version, source)
        return ObjectWrite(**common, key=key_of(entity), content_type="image/png", data=f"{content}".encode())

    def bad(self, entity: str, version: int, source: str) -> ObjectWrite:
        return ObjectWrite(**self.common(entity, version, source), key="k" * 2_000, data=b"")

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).objects() as reader:
            found = reader.get(key_of(entity))
            return None if found is None or found.data is None else int(found.data)


class TestWarehouse(SinkConformance[WarehouseWrite]):
    many = 300

    def sink(self, place: str) -> Sink[WarehouseWrite]:
        return embedded_sink("warehouse", Path(place), "")

    def full(self, place: str, sink: Sink[WarehouseWrite]) -> AbstractContextManager[object]:
        return unflushable("connectors.sinks.warehouse.files._flush")

    def good(self, entity: str, version: int, source: str, content: int) -> WarehouseWrite:
        return WarehouseWrite(
            **self.common(entity, version, source),
            dataset="events",
            day=date(2026, 5, 1) + timedelta(days=content % 3),
            user_id="u1",
            type="test",
            body={"content": content},
        )

    def bad(self, entity: str, version: int, source: str) -> WarehouseWrite:
        dataset: Any = "../elsewhere"
        return WarehouseWrite(**self.common(entity, version, source), dataset=dataset, day=date(2026, 5, 1))

    def content(self, place: str, entity: str) -> int | None:
        with readers(place).warehouse() as reader:
            rows = reader.query("SELECT (body ->> '$.content')::int AS content FROM events WHERE entity = ?", [entity])
            assert len(rows) <= 1
            return rows[0]["content"] if rows else None


def vector_of(entity: str) -> bytes:
    values = np.frombuffer(hashlib.sha256(entity.encode()).digest(), np.uint8)[:8].astype("<f4") - 127.5
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()


def word_of(entity: str) -> str:
    return "w" + hashlib.sha256(entity.encode()).hexdigest()


def key_of(entity: str) -> str:
    """A folder for each, so that no awkward identifier is the folder of another one."""
    digest = hashlib.sha256(entity.encode()).hexdigest()
    return f"{digest[:8]}/{entity}" if len(entity.encode()) < 1_000 else digest
