"""A table of sagas in memory, and a transaction of it that may be killed before it is durable."""

from collections.abc import Iterable
from typing import Any

import msgspec

from streams.runtime.records import Record


class Table:
    """What is durable: of each key its value, and the offset of each topic's record that last changed it."""

    def __init__(self, value_type: type[Any]) -> None:
        self.value_type = value_type
        self.entries: dict[str, tuple[bytes, dict[str, int]]] = {}

    def get(self, key: str) -> Any:
        value, _ = self.entries.get(key, (b"\xc0", {}))
        return msgspec.msgpack.decode(value, type=self.value_type | None)


class View:
    """A transaction, as `streams.runtime.tables.TableView` is one: it sees what it has put."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._values: dict[str, Any] = {}
        self._positions: dict[str, dict[str, int]] = {}
        self._changed: set[str] = set()

    def prefetch(self, keys: Iterable[Any]) -> None: ...

    def get(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = self._table.get(key)
        return self._values[key]

    def position(self, key: str, topic: str) -> int:
        return self._positions_of(key).get(topic, -1)

    def put(self, key: str, value: Any, record: Record | None = None) -> None:
        self._values[key] = value
        self._changed.add(key)
        if record is not None:
            positions = self._positions_of(key)
            positions[record.topic] = max(record.offset, positions.get(record.topic, -1))

    def commit(self) -> None:
        for key in self._changed:
            self._table.entries[key] = msgspec.msgpack.encode(self._values[key]), dict(self._positions_of(key))

    def _positions_of(self, key: str) -> dict[str, int]:
        return self._positions.setdefault(key, dict(self._table.entries.get(key, (b"", {}))[1]))
