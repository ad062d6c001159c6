"""What sagas have told, and what stores hold of what they wrote."""

from collections.abc import Iterable, Sequence
from typing import Any

from connectors.kafka.reading import read_topics
from connectors.sinks.content import comparable, stored
from schemas.sagas import SagaEntry, SagaStart, SagaWrite, decode_saga_record
from schemas.writes import BaseWrite, store_of
from streams.stores import sink_of


def log_of(pipeline: Any) -> dict[str, SagaEntry]:
    """Return what the log says last of each saga."""
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.saga_log.name])
    records.sort(key=lambda one: (one.partition, one.offset))
    entries = [decode_saga_record(record.value, SagaEntry) for record in records if record.value]
    return {entry.id: entry for entry in entries}


def begun(pipeline: Any) -> list[SagaStart]:
    """Return the sagas that were begun, by the order of their subjects and versions."""
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.saga_starts.name])
    starts = {start.id: start for start in (decode_saga_record(record.value, SagaStart) for record in records)}
    return sorted(starts.values(), key=lambda one: (one.subject, one.version))


def held_of(pipeline: Any, writes: Iterable[SagaWrite]) -> Sequence[dict[str, Any] | None]:
    """Return the content that stores hold of the entities of writes; None where they hold nothing. Nobody delivers."""
    return [_held(pipeline, write) for write in writes]


def content_of(write: BaseWrite) -> dict[str, Any] | None:
    """Return the content of a write as stores tell it; None of one that says that there is nothing."""
    return None if write.op == "delete" else comparable(write)


def _held(pipeline: Any, write: SagaWrite) -> dict[str, Any] | None:
    sink: Any = sink_of(store_of(write), pipeline.options)
    sink.open()
    try:
        (found,) = stored(sink, [write])
    finally:
        sink.close()
    assert found is not None, "the store can tell"
    return content_of(found)
