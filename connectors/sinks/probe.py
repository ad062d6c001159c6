"""A round trip through a store: a write, a look, a delete, and another look, with an entity that nobody else has.

What a connection or a permission would not let pass shows here and not with the first write of somebody's.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectors.sinks.contract import Applied, Held, Outcome, Rejected, Retry, Sink
from connectors.sinks.errors import SinkError
from schemas.clock import milliseconds, pack
from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    SearchWrite,
    StoreName,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

SOURCE = "travelos-check"
_HOUR_NS = 3_600 * 1_000_000_000


class ProbeFailed(SinkError):  # noqa: N818 - says what happened
    """The store answers, but not as it should; the message says which step of the round trip failed."""


def round_trip(store: StoreName, sink: Sink[Any], now: datetime) -> float:
    """Open a sink, make a round trip, close it, and return the milliseconds it took once it was open.

    Only a tombstone is left. In the vector store and in the warehouse nothing but a delete is written: the first vector
    of a namespace settles its dimension, and a row of history would be counted by whoever counts just then.

    Raises:
        SinkError: the store does not answer, refuses us, or does not hold what it said it had applied.
    """
    try:
        sink.open()
        started = time.monotonic()
        for write in probe_writes(store, now):
            _check(write, sink)
        return (time.monotonic() - started) * 1_000
    finally:
        sink.close()


def probe_writes(store: StoreName, now: datetime) -> list[BaseWrite]:
    """Return the writes of a round trip; each is to be applied and then to be held."""
    version = pack(milliseconds(now), 0)
    make = _PROBES[store]
    upsert, delete = make(now, version=version, op="upsert"), make(now, version=version + 1, op="delete")
    return [delete] if store in ("vector", "warehouse") else [upsert, delete]


def _check(write: BaseWrite, sink: Sink[Any]) -> None:
    (outcome,) = sink.write([write])
    if not isinstance(outcome, Applied):
        raise ProbeFailed(f"a test {write.op} was not applied: {_reason(outcome)}")
    key = (write.entity, write.source)
    found = sink.held([key]).get(key)
    deleted = write.op == "delete"
    expected = Held(version=write.version, deleted=deleted, copies=0 if deleted else 1)
    if found != expected:
        raise ProbeFailed(f"a test {write.op} was applied, but the store holds {found or 'nothing'} of it")


def _reason(outcome: Outcome) -> str:
    match outcome:
        case Rejected(reason=reason) | Retry(reason=reason):
            return reason
        case _:
            return "the store says that it holds a newer one"


def _common(now: datetime, version: int, op: str, entity: str = "travelos:check") -> dict[str, Any]:
    return {
        "entity": entity,
        "version": version,
        "source": SOURCE,
        "event_id": f"{SOURCE}-{version}",
        "occurred_at": now,
        "op": op,
    }


def _point(now: datetime, *, version: int, op: str) -> BaseWrite:
    # A retention may refuse what is old, so the point is of this hour; and one an hour is all that is ever left.
    time_ns = milliseconds(now) * 1_000_000 // _HOUR_NS * _HOUR_NS
    common = _common(now, version, op, f"travelos_check:{time_ns}")
    return TimeSeriesWrite(
        **common, measurement="travelos_check", tags={"check": "round_trip"}, time_ns=time_ns, fields={"ok": True}
    )


def _of(write_type: Callable[..., BaseWrite], now: datetime, /, *, version: int, op: str, **content: Any) -> BaseWrite:
    return write_type(**_common(now, version, op), **content)


def _row_of_history(now: datetime, *, version: int, op: str) -> BaseWrite:
    return WarehouseWrite(**_common(now, version, op), dataset="events", day=now.astimezone(UTC).date())


_PROBES: Mapping[StoreName, Callable[..., BaseWrite]] = {
    "graph": partial(_of, GraphWrite, node=NodeRef("TravelosCheck", "check")),
    "vector": partial(_of, VectorWrite, namespace="conversations"),
    "search": partial(_of, SearchWrite, kind="travelos-check", name="round trip"),
    "timeseries": _point,
    "objects": partial(_of, ObjectWrite, key="travelos-check", content_type="text/plain", data=b"round trip"),
    "relational": partial(_of, RelationalWrite, table="messages", key="travelos-check", columns={"text": "round trip"}),
    "cache": partial(_of, CacheWrite, key="travelos-check", value="round trip", ttl_seconds=60),
    "warehouse": _row_of_history,
}
