"""The commands that the router sends to the stores: one struct for each kind of store.

Every write names its entity, its version and its source. A sink applies it only when the version is newer than what
the store holds for that entity from that source, so a write may be repeated or arrive late without harm.
"""

from datetime import date
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from schemas.fields import Latitude, Longitude, Timestamp, Version
from schemas.reasons import shortened
from schemas.sealed import SealedContent

Scalar = str | int | float | bool | None
Priority = Literal["normal", "urgent"]  # the lanes
EventPriority = Literal["low", "normal", "urgent"]  # low: in the normal lane, and put off while a store lags behind
RelationalTable = Literal["messages", "trips", "bookings", "urgent_requests", "traveller_details", "erasure_requests"]


# Writes, and what holds them in sagas, are trees: the garbage collector need not look at them.
class BaseWrite(Struct, kw_only=True, frozen=True, tag_field="store", omit_defaults=True, gc=False):
    """What every write carries.

    `entity` is "<type>:<id>", unique within its store. `source` names the version line: versions of different sources
    do not compare. `event_id` is the fact that caused the write. An op of "delete" carries no content. With `undo` the
    receipt says what the store held before. With `repair` the write also takes the place of its own version, of which
    the store has lost or changed something; never of a newer one. Where `sealed` is set the fields of its content are
    empty: they are in there, for whoever has the key.
    """

    entity: Annotated[str, Meta(min_length=1, max_length=4_096)]
    version: Version
    source: Annotated[str, Meta(min_length=1, max_length=256)]
    event_id: Annotated[str, Meta(min_length=1, max_length=4_096)]
    occurred_at: Timestamp
    op: Literal["upsert", "delete"] = "upsert"
    undo: bool = False
    repair: bool = False
    sealed: SealedContent | None = None

    @property
    def replaces(self) -> int:
        """The newest version that a store may hold for this write to take effect; -1: none."""
        return self.version if self.repair else self.version - 1


class NodeRef(Struct, frozen=True, gc=False):
    """A node of the graph: its label and its id within that label."""

    label: str
    id: str


class GraphWrite(BaseWrite, frozen=True, tag="graph"):
    """A node (`node` set) or a relation (`start` and `end` set).

    A relation creates the bare nodes it needs. It is identified by `entity`, not by its ends: an upsert with another
    `end` moves it; its `start` never changes, and a delete names it too. Deleting a node removes its relations; a
    relation to a deleted node is superseded. A delete with `keep_relations` makes it as if nobody had written the node:
    where relations join it, it stays bare, and relations to it are taken as before.
    """

    node: NodeRef | None = None
    relation: str | None = None
    start: NodeRef | None = None
    end: NodeRef | None = None
    properties: dict[str, Scalar] = {}
    keep_relations: bool = False


class VectorWrite(BaseWrite, frozen=True, tag="vector"):
    """A vector in a namespace. `values` are float32, little endian, of length 1; all of a namespace have one dimension.

    `model` names what made the vector: vectors of different models do not compare.
    """

    namespace: Literal["conversations", "preferences", "places", "trips", "photos"]
    values: bytes = b""
    model: str = ""
    text: str = ""
    metadata: dict[str, Scalar] = {}


class SearchWrite(BaseWrite, frozen=True, tag="search"):
    """A document for full-text and geographic search."""

    kind: str = ""
    name: str = ""
    text: str = ""
    lat: Latitude | None = None
    lon: Longitude | None = None
    score: float | None = None  # 0 (worst) to 1 (best); None when nobody judged it yet
    fields: dict[str, Scalar] = {}


class TimeSeriesWrite(BaseWrite, frozen=True, tag="timeseries"):
    """One point. Its identity is measurement + tags + time, which `entity` repeats."""

    measurement: str
    tags: dict[str, str]
    time_ns: int
    fields: dict[str, str | int | float | bool] = {}


class ObjectWrite(BaseWrite, frozen=True, tag="objects"):
    """An object under a key: its bytes, or a reference to where they lie already."""

    key: str
    content_type: str = "application/octet-stream"
    data: bytes | None = None
    reference: str | None = None
    metadata: dict[str, str] = {}


class RelationalWrite(BaseWrite, frozen=True, tag="relational"):
    """Columns of one row; columns that are not named keep their value. Times and dates are ISO 8601 text."""

    table: RelationalTable
    key: str
    columns: dict[str, Scalar | list[str]] = {}


class CacheWrite(BaseWrite, frozen=True, tag="cache"):
    """Live state under a key, forgotten `ttl_seconds` after it was written."""

    key: str
    value: Any = None
    ttl_seconds: int | None = None


class WarehouseWrite(BaseWrite, frozen=True, tag="warehouse"):
    """One row of history. History only grows: a delete of something else is one more row here."""

    dataset: Literal["events", "activities", "changes"]
    day: date
    user_id: str | None = None
    type: str = ""
    body: dict[str, Any] = {}


Write = (
    GraphWrite
    | VectorWrite
    | SearchWrite
    | TimeSeriesWrite
    | ObjectWrite
    | RelationalWrite
    | CacheWrite
    | WarehouseWrite
)

StoreName = Literal["graph", "vector", "search", "timeseries", "objects", "relational", "cache", "warehouse"]
STORES: tuple[StoreName, ...] = get_args(StoreName)
WRITE_TYPES: dict[StoreName, type[BaseWrite]] = {kind.__struct_config__.tag: kind for kind in get_args(Write)}

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Write] = msgspec.json.Decoder(Write)


class InvalidWrite(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are no write command; the message names the field."""


def encode_write(write: BaseWrite) -> bytes:
    """Write a command as JSON."""
    return _encoder.encode(write)


def decode_write(data: bytes) -> Write:
    """Read and check one command.

    Raises:
        InvalidWrite: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidWrite(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidWrite("JSON is nested too deeply") from error


def key_of(write: BaseWrite) -> str:
    """Return the Kafka key of a write: its entity, and in the graph the node it belongs to.

    A node and the relations that begin at it share a partition. Else the relation of a place that was deleted and
    created again could overtake the place's own write, and be taken for one to a deleted place.
    """
    if isinstance(write, GraphWrite):
        node = write.node or write.start
        if node is not None:
            return f"{node.label}:{node.id}"
    return write.entity


def store_of(write: BaseWrite) -> StoreName:
    """Return the store a write belongs to."""
    return write.__struct_config__.tag  # pyright: ignore[reportReturnType] - the tags are the store names
