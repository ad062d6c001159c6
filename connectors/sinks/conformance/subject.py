"""What the tests need to know of the sink they test."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from connectors.sinks.conformance.model import Step
from connectors.sinks.contract import Held, Outcome, Retry, Sink
from connectors.sinks.errors import Unavailable
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)

ONE, TWO = "source-one", "source-two"
_ATTEMPTS = 200


class Subject(ABC, Generic[W]):
    """A sink under test."""

    many: ClassVar[int] = 1_000  # writes of a test that needs many; fewer for a store that is slow on purpose
    among: ClassVar[int] = 10_000  # writes of which one is bad; fewer likewise, all with `pytest --sink ... --among`

    @abstractmethod
    def sink(self, place: str) -> Sink[W]:
        """Return a new sink of the store at `place`, not open."""

    @abstractmethod
    def good(self, entity: str, version: int, source: str, content: int) -> W:
        """Return an upsert that makes `content` the content of an entity."""

    @abstractmethod
    def bad(self, entity: str, version: int, source: str) -> W:
        """Return a write that the sink must reject."""

    @abstractmethod
    def content(self, place: str, entity: str) -> int | None:
        """Return what a reader of the store finds of an entity; None: nothing."""

    def visible(self, place: str) -> None:
        """Return when all that was written shows to any reader; for a store that says of itself that it takes a while.

        Called before a walk, which promises only what a list of the store shows. Not before `held`: that is never late.
        """

    def gone(self, entity: str, version: int, source: str) -> W:
        """Return the delete of an entity."""
        return msgspec.structs.replace(self.good(entity, version, source, 0), op="delete")

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        """Return where a new and empty store may be made."""
        return str(tmp_path / "store")

    @staticmethod
    def common(entity: str, version: int, source: str) -> dict[str, Any]:
        """Return the fields that every write has."""
        return {
            "entity": entity,
            "version": version,
            "source": source,
            "event_id": f"{source}-{version}",
            "occurred_at": datetime(2026, 5, 1, 12, tzinfo=UTC),
        }

    def write(self, entity: str, version: int, content: int, source: str = ONE) -> W:
        """Return a good write, mostly of the same source."""
        return self.good(entity, version, source, content)

    def delete(self, entity: str, version: int, source: str = ONE) -> W:
        """Return a delete, mostly of the same source."""
        return self.gone(entity, version, source)

    def of(self, step: Step) -> W:
        """Return a step of a history as a write."""
        if step.deleted:
            return self.gone(step.entity, step.version, step.source)
        return self.good(step.entity, step.version, step.source, step.content)

    @contextmanager
    def opened(self, place: str) -> Generator[Sink[W]]:
        """Open a new sink for a while."""
        sink = self.sink(place)
        sink.open()
        try:
            yield sink
        finally:
            sink.close()


def deliver(sink: Sink[W], writes: Sequence[W]) -> list[Outcome]:
    """Write batches within the sink's limits and send again what it wants again, as the framework would."""
    outcomes: list[Outcome] = []
    size = sink.limits.max_records
    for start in range(0, len(writes), size):
        outcomes += _deliver(sink, writes[start : start + size])
    return outcomes


def _deliver(sink: Sink[W], batch: Sequence[W]) -> list[Outcome]:
    final: dict[int, Outcome] = {}
    waiting = list(range(len(batch)))
    for _ in range(_ATTEMPTS):
        try:
            outcomes = sink.write([batch[index] for index in waiting])
        except Unavailable:
            continue
        assert len(outcomes) == len(waiting), "one outcome for each write"
        final.update(zip(waiting, outcomes, strict=True))
        waiting = [index for index in waiting if isinstance(final[index], Retry)]
        if not waiting:
            return [final[index] for index in range(len(batch))]
    raise AssertionError(f"{len(waiting)} writes were not taken in {_ATTEMPTS} attempts")


def held(sink: Sink[W], entities: Iterable[str], source: str = ONE) -> Mapping[str, Held]:
    """Return what a sink holds of entities from one source."""
    return {entity: found for (entity, _), found in sink.held([(entity, source) for entity in entities]).items()}
