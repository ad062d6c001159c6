"""What one reader of the changes wrote, decoded: row changes, logical messages, transactions, outbox messages. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec
from msgspec import Struct

CONTEXT = "__debezium.context."  # Debezium's headers about itself: which task, which run

Kind = Literal["snapshot", "incremental", "change", "transaction", "outbox"]


class Record(NamedTuple):
    """One Kafka record; key and value are JSON texts, header values as Kafka Connect writes them by default: text."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class _Wrapped(Struct):
    payload: msgspec.Raw
    schema: msgspec.Raw


class Event(Struct):
    """One record as one reader told it.

    Attributes:
        topic: of the record.
        key: decoded, without its schema.
        value: decoded, without its schema.
        headers: those that are not about the reader itself.
        tombstones: how many records with its key and no value follow it.
        key_schema: as JSON; empty where there is none.
        value_schema: the same.
    """

    topic: str
    key: Any
    value: Any
    headers: dict[str, Any]
    tombstones: int = 0
    key_schema: bytes = b""
    value_schema: bytes = b""

    @property
    def kind(self) -> Kind:
        """What it tells of."""
        members = cast("dict[str, Any]", self.value) if isinstance(self.value, dict) else {}
        if "status" in members:
            return "transaction"
        if "source" not in members:
            return "outbox"
        marker = members["source"]["snapshot"]
        return "change" if marker in ("false", False) else "incremental" if marker == "incremental" else "snapshot"

    @property
    def table(self) -> str:
        """The table that it is about, or what else."""
        if self.kind in ("transaction", "outbox"):
            return self.kind
        return self.value["source"]["table"] or "message"

    @property
    def op(self) -> str:
        """What it says has happened."""
        return {"transaction": "-", "outbox": "-"}.get(self.kind) or self.value["op"]

    @property
    def place(self) -> Any:
        """What tells it from others of its topic and kind."""
        if self.kind == "transaction":
            return self.value["status"], self.value["id"].partition(":")[0]
        if self.kind == "outbox":
            return self.headers.get("id")
        return self.value["source"]["lsn"] if self.kind == "change" else next(iter(self.value["after"].values()))


def events(records: Iterable[Record], *, schemas: bool = False) -> list[Event]:
    """Return the events of one partition of each topic, in their order.

    A tombstone is counted with the delete before it; one of an outbox, which has the header `id`, is an event.

    Args:
        records: of the partitions.
        schemas: whether keys and values bring their schemas.
    """
    found: list[Event] = []
    last: dict[str, Event] = {}
    for record in records:
        headers = {name: _header(value) for name, value in record.headers if not name.startswith(CONTEXT)}
        if record.value is None and "id" not in headers:
            last[record.topic].tombstones += 1
            continue
        key_schema, key = _split(record.key, schemas)
        value_schema, value = _split(record.value, schemas)
        event = Event(record.topic, key, value, headers, 0, key_schema, value_schema)
        last[record.topic] = event
        found.append(event)
    return found


def _split(text: bytes | None, schemas: bool) -> tuple[bytes, Any]:
    if text is None:
        return b"", "(nothing)"  # which is not what the JSON text null says
    text = _HALF_CHARACTER.sub(rb"\\ufffd", text)
    if not schemas:
        return b"", _decode(text)
    wrapped = _unwrap(text)
    return bytes(wrapped.schema), _decode(wrapped.payload)


def _header(value: bytes | None) -> Any:
    if value is None:
        return None
    return _decode(value) if value.startswith(b"{") else value.decode()


# One of the two escapes of a character beyond 16 bits, which is no JSON: Debezium truncates between them.
_HALF_CHARACTER = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
_decode = msgspec.json.Decoder().decode
_unwrap = msgspec.json.Decoder(_Wrapped).decode
