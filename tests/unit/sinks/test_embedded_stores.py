"""The eight stores together, in one folder."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.sinks.contract import APPLIED
from connectors.sinks.embedded import EmbeddedReaders, embedded_sink
from connectors.sinks.errors import Unavailable
from schemas.writes import (
    STORES,
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    SearchWrite,
    StoreName,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

COMMON: dict[str, Any] = {
    "entity": "e:1",
    "version": 1,
    "source": "s",
    "event_id": "ev1",
    "occurred_at": datetime(2026, 5, 1, tzinfo=UTC),
}
WRITES: dict[StoreName, BaseWrite] = {
    "graph": GraphWrite(**COMMON, node=NodeRef("User", "u1")),
    "vector": VectorWrite(**COMMON, namespace="places", values=np.array([1, 0], "<f4").tobytes(), model="m"),
    "search": SearchWrite(**COMMON, name="Pizza"),
    "timeseries": TimeSeriesWrite(**COMMON, measurement="gps", tags={}, time_ns=1, fields={"lat": 1.0}),
    "objects": ObjectWrite(**COMMON, key="photos/1.png", data=b""),
    "cache": CacheWrite(**COMMON, key="k", value=1),
    "warehouse": WarehouseWrite(**COMMON, dataset="events", day=date(2026, 5, 1)),
}
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def test_all_stores_but_the_relational_one_live_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for store, write in WRITES.items():
        sink = embedded_sink(store, folder, NOBODY)
        sink.open()
        assert sink.write([write]) == [APPLIED]
        sink.close()
    assert {path.name for path in folder.iterdir()} == {
        "graph.db",
        "vector.db",
        "search.db",
        "timeseries.db",
        "cache.db",
        "objects",
        "warehouse",
    }
    readers = EmbeddedReaders(folder, NOBODY)
    found: dict[str, dict[str, int]] = {}
    for store in WRITES:
        with getattr(readers, store)() as reader:
            found[store] = {table: count for table, count in reader.counts().items() if count}
    assert found == {
        "graph": {"nodes": 1},
        "vector": {"documents": 1},
        "search": {"documents": 1},
        "timeseries": {"points": 1, "series": 1},
        "objects": {"objects": 1},
        "cache": {"live": 1},
        "warehouse": {"events": 1},
    }


@pytest.mark.parametrize("store", STORES)
def test_making_a_sink_or_a_reader_touches_nothing(store: StoreName, tmp_path: Path) -> None:
    embedded_sink(store, tmp_path / "data", NOBODY)
    getattr(EmbeddedReaders(tmp_path / "data", NOBODY), store)()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_is_not_there_is_unavailable_to_its_reader(store: StoreName, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        getattr(EmbeddedReaders(tmp_path, NOBODY), store)().open()
