"""The sagas of the benchmark and of the chaos run: three steps, side by side or one after the other."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.sagas import SagaStart
from schemas.writes import CacheWrite, GraphWrite, NodeRef, SearchWrite, StoreName
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.kinds import Kind, begins

SOURCE = "bench"
PATIENCE = Patience(first_ms=10_000, longest_ms=60_000, attempts=30)
PARALLEL = Definition(
    name="parallel",
    steps=(
        Step(name="live", store="cache", patience=PATIENCE),
        Step(name="node", store="graph", patience=PATIENCE),
        Step(name="found", store="search", patience=PATIENCE),
    ),
)
ORDERED = Definition(
    name="ordered",
    steps=(
        Step(name="live", store="cache", patience=PATIENCE),
        Step(name="node", store="graph", after=("live",), patience=PATIENCE),
        Step(name="found", store="search", after=("node",), patience=PATIENCE),
    ),
)
KINDS = [Kind(definition=PARALLEL, about="trial"), Kind(definition=ORDERED, about="trial")]
STEPS: Mapping[str, StoreName] = {"live": "cache", "node": "graph", "found": "search"}
STORES = tuple(STEPS.values())


def saga(number: int, version: int, *, ordered: bool = False, subject: int | None = None) -> SagaStart:
    """Return the start of a saga about a subject of its own, unless another one is given."""
    name = f"trial:{number if subject is None else subject}"
    common: dict[str, Any] = {
        "entity": name,
        "version": version,
        "source": SOURCE,
        "event_id": f"e{number}",
        "occurred_at": datetime.fromtimestamp(1_800_000_000, UTC),
    }
    writes = {
        "live": CacheWrite(**common, key=name, value={"number": number}),
        "node": GraphWrite(**common, node=NodeRef("Trial", name), properties={"number": number}),
        "found": SearchWrite(**common, kind="trial", name=f"Trial {number}", text="a fact of three stores"),
    }
    return begins(ORDERED if ordered else PARALLEL, name, version, f"e{number}", writes)
