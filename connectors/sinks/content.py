"""What a store holds of entities, and the form in which it can be compared with what it was told to hold.

Stores do not keep everything as it was told: Neo4j and Pinecone drop members that are null, S3 lower-cases the names of
metadata, Postgres says times in its own zone. `comparable` leaves out or evens out exactly that, on both sides.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from msgspec import structs

from connectors.sinks.contract import Sink, Telling, Undoing
from connectors.sinks.postgres.tables import TABLES
from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    SearchWrite,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

W = TypeVar("W", bound=BaseWrite)

_NEWEST = 2**63 - 1  # a delete of this version would take the place of whatever there is
_CARRIED = frozenset(BaseWrite.__struct_fields__)


def stored(sink: Sink[W], places: Sequence[W]) -> list[W | None]:
    """Return what a store holds of entities now: an upsert with the content, a delete where it holds nothing.

    None: the store cannot tell.

    Args:
        sink: the store, open.
        places: a write of each entity that says where it lies; its content does not matter.

    Raises:
        Unavailable: the store does not answer.
    """
    if isinstance(sink, Telling):
        return cast("Telling[W]", sink).stored(places)
    if not isinstance(sink, Undoing):
        return [None] * len(places)
    asked = [structs.replace(one, op="delete", version=_NEWEST, undo=False, repair=False) for one in places]
    return cast("Undoing[W]", sink).before(asked)


def comparable(write: BaseWrite) -> dict[str, Any]:
    """Return the content of an upsert as plain JSON values, the same for all that a store does not tell apart."""
    content = _CONTENTS.get(type(write))
    if content is not None:
        return content(write)
    return {name: value for name, value in structs.asdict(write).items() if name not in _CARRIED}


def _graph(write: GraphWrite) -> dict[str, Any]:
    properties = _set(write.properties)
    if write.node is not None:
        properties.pop("id", None)  # what it may be is the node's own
    return {
        "node": _node(write.node),
        "relation": write.relation,
        "start": _node(write.start),
        "end": _node(write.end),
        "properties": properties,
    }


def _node(node: NodeRef | None) -> list[str] | None:
    return None if node is None else [node.label, node.id]


def _object(write: ObjectWrite) -> dict[str, Any]:
    return {
        "key": write.key,
        "reference": write.reference,
        "data": None if write.data is None else hashlib.sha256(write.data).hexdigest(),
        # Of what lies elsewhere, the store there says what it is.
        "content_type": None if write.data is None else write.content_type,
        "metadata": {name.lower(): value for name, value in write.metadata.items()},
    }


def _vector(write: VectorWrite) -> dict[str, Any]:
    return {
        **_fields(write, "namespace", "model", "text"),
        "values": hashlib.sha256(write.values).hexdigest(),
        "metadata": _set(write.metadata),
    }


def _search(write: SearchWrite) -> dict[str, Any]:
    return {**_fields(write, "kind", "name", "text", "lat", "lon", "score"), "fields": _set(write.fields)}


def _point(write: TimeSeriesWrite) -> dict[str, Any]:
    tags = {name: value for name, value in write.tags.items() if value}
    return {**_fields(write, "measurement", "time_ns", "fields"), "tags": tags}


def _row(write: RelationalWrite) -> dict[str, Any]:
    columns = {name: _column(write.table, name, value) for name, value in write.columns.items()}
    return {"table": write.table, "key": write.key, "columns": columns}


def _live(write: CacheWrite) -> dict[str, Any]:
    return _fields(write, "key", "value")  # its time runs out


def _history(write: WarehouseWrite) -> dict[str, Any]:
    return {
        **_fields(write, "dataset", "type", "user_id", "body", "event_id"),
        "day": write.day.isoformat(),
        "occurred_at": _moment(write.occurred_at),
    }


def _column(table: str, name: str, value: Any) -> Any:
    kind = TABLES[table].get(name) if table in TABLES else None
    if isinstance(value, str) and kind == "timestamp with time zone":
        return _moment(datetime.fromisoformat(value))
    return value


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _fields(write: BaseWrite, *names: str) -> dict[str, Any]:
    return {name: getattr(write, name) for name in names}


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_CONTENTS: Mapping[type[BaseWrite], Callable[[Any], dict[str, Any]]] = {
    GraphWrite: _graph,
    VectorWrite: _vector,
    SearchWrite: _search,
    TimeSeriesWrite: _point,
    ObjectWrite: _object,
    RelationalWrite: _row,
    CacheWrite: _live,
    WarehouseWrite: _history,
}
