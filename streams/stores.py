"""The sinks that the options name, one for each store; embedded where they name none."""

from typing import Any

from connectors.sinks.contract import Sink
from connectors.sinks.embedded import embedded_sink
from connectors.sinks.kinds import EMBEDDED, UnknownKind, kind_of
from schemas.writes import StoreName
from streams.delivery.delivery import StorePlan
from streams.settings import Options
from streams.settings.model import Store


def sink_of(store: StoreName, options: Options) -> Sink[Any]:
    """Return a new sink of a store, not open; several of one store may work side by side.

    Raises:
        UnknownKind: the kind cannot be loaded, or does not take its options; reading the options has said so before.
    """
    chosen = options.stores.of(store)
    if chosen.kind == EMBEDDED:
        relational = options.stores.relational
        folder = options.data_dir.resolve() / "stores"
        return embedded_sink(store, folder, relational.url.get_secret_value(), relational.request_seconds)
    kind = kind_of(store, chosen.kind)
    settled = kind.settle(chosen.given(kind.names))
    if isinstance(settled, list):
        raise UnknownKind("; ".join(f"stores.{store}.{one.name}: {one.reason}" for one in settled))
    return kind.make(settled)


def sinks_of(store: StoreName, options: Options) -> list[Sink[Any]]:
    """Return as many sinks of a store as there may be requests at a time."""
    first, chosen = sink_of(store, options), options.stores.of(store)
    requests = first.limits.requests
    # A kind with an option of that name sends them side by side by itself.
    if chosen.kind == EMBEDDED or "requests" not in kind_of(store, chosen.kind).names:
        requests = chosen.requests or requests
    return [first, *(sink_of(store, options) for _ in range(1, requests))]


def plan_of(store: Store) -> StorePlan:
    """Return how much a store is given, from its options."""
    return StorePlan(
        max_records=store.batch_records,
        max_bytes=store.batch_bytes,
        linger_ms=store.linger_ms,
        rate=store.rate_limit,
        burst=store.rate_burst,
        shed_lag=store.shed_lag,
    )
