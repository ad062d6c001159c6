"""The sagas of the benchmark and of the chaos run: in three stores or in all, side by side or one after the other."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from schemas.sagas import SagaStart, SagaWrite
from schemas.writes import (
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
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.kinds import Kind, begins

SOURCE = "bench"
PATIENCE = Patience(first_ms=10_000, longest_ms=60_000, attempts=30)
# Longer than a worker takes to start and to be given partitions on a busy machine, which was more than ten seconds.
PATIENT = Patience(first_ms=30_000, longest_ms=60_000, attempts=30)
# Longer than any backlog of a chaos run: a saga that is late is taken back, which would hide what it is to show.
DEADLINE_MS = 1_800_000
_AT = datetime.fromtimestamp(1_800_000_000, UTC)
_VECTOR = bytes.fromhex("0000803f" + "00000000" * 3)  # 1, 0, 0, 0 as float32


class Shape(NamedTuple):
    """Steps with their stores, as a saga that takes them side by side, and as one that takes them in turn."""

    steps: Mapping[str, StoreName]
    parallel: Definition
    ordered: Definition


def _shape(prefix: str, steps: Mapping[str, StoreName], patience: Patience = PATIENCE) -> Shape:
    before = {name: (earlier,) for earlier, name in pairwise(steps)}
    parallel, ordered = (
        Definition(
            name=prefix + name,
            steps=tuple(
                Step(name=step, store=store, after=after.get(step, ()), patience=patience)
                for step, store in steps.items()
            ),
            deadline_ms=DEADLINE_MS,
        )
        for name, after in (("parallel", {}), ("ordered", before))
    )
    return Shape(steps, parallel, ordered)


THREE = _shape("", {"live": "cache", "node": "graph", "found": "search"})
ALL = _shape(
    "everywhere_",
    {
        **THREE.steps,
        "row": "relational",
        "meaning": "vector",
        "point": "timeseries",
        "file": "objects",
        "history": "warehouse",
    },
)
THREE_PATIENT = _shape("patient_", THREE.steps, PATIENT)
SHAPES = (THREE, ALL, THREE_PATIENT)
KINDS = [Kind(definition=one, about="trial") for shape in SHAPES for one in (shape.parallel, shape.ordered)]
STORES = tuple(THREE.steps.values())


def saga(
    number: int, version: int, *, ordered: bool = False, subject: int | None = None, shape: Shape = THREE
) -> SagaStart:
    """Return the start of a saga about a subject of its own, unless another one is given."""
    name = f"trial:{number if subject is None else subject}"
    writes = _writes(name, number, version)
    definition = shape.ordered if ordered else shape.parallel
    return begins(definition, name, version, f"e{number}", {step: writes[store] for step, store in shape.steps.items()})


def _writes(name: str, number: int, version: int) -> Mapping[StoreName, SagaWrite]:
    """Return what a saga writes about a subject; of each store the content tells which saga it was."""
    common: dict[str, Any] = {
        "entity": name,
        "version": version,
        "source": SOURCE,
        "event_id": f"e{number}",
        "occurred_at": _AT,
    }
    title = f"Trial {number}"
    return {
        "cache": CacheWrite(**common, key=name, value={"number": number}),
        "graph": GraphWrite(**common, node=NodeRef("Trial", name), properties={"number": number}),
        "search": SearchWrite(**common, kind="trial", name=title, text="a fact of several stores"),
        "relational": RelationalWrite(**common, table="trips", key=name, columns={"title": title}),
        "vector": VectorWrite(**common, namespace="trips", values=_VECTOR, model="bench", text=title),
        "timeseries": TimeSeriesWrite(
            **common,
            measurement="trials",
            tags={"subject": name},
            time_ns=int(_AT.timestamp()) * 1_000_000_000,
            fields={"number": number},
        ),
        "objects": ObjectWrite(**common, key=name.replace(":", "/"), content_type="text/plain", data=title.encode()),
        "warehouse": WarehouseWrite(
            **common, dataset="activities", day=date(2027, 1, 15), type="trial", body={"number": number}
        ),
    }
