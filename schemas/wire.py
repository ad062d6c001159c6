"""Confluent's wire format: a schema id in front of a value, or in a header beside it.

In the value: the magic byte 0 and the id in 4 bytes, or the magic byte 1 and a GUID in 16 bytes, both big-endian, then
the payload. In the header `__value_schema_id`: the same bytes, and the value is the payload. JSON text starts with
neither byte, so values without a frame are told apart with certainty. Source: confluent-kafka-python,
`SchemaId.from_bytes` and `dual_schema_id_deserializer`.
"""

from collections.abc import Callable
from uuid import UUID

from msgspec import Struct

from schemas.headers import Headers

VALUE_SCHEMA_ID = "__value_schema_id"
MAGIC_ID = 0
MAGIC_GUID = 1
_LENGTHS = {MAGIC_ID: 5, MAGIC_GUID: 17}

SchemaId = int | UUID
Unframe = Callable[[bytes, Headers], bytes]


class Framed(Struct, frozen=True):
    """A payload with the id of the schema it was written with."""

    schema_id: SchemaId
    payload: bytes


class InvalidFrame(ValueError):  # noqa: N818 - it names what the bytes are
    """A value that cannot be read because of its frame, now or later; the message is the reason."""


class IncompleteFrame(InvalidFrame):
    """The magic byte is there, the rest is not."""

    def __init__(self, where: str, length: int) -> None:
        super().__init__(f"incomplete frame{where}: {length} {'byte' if length == 1 else 'bytes'}")


class UnknownSchema(InvalidFrame):
    """The registry has no schema of this id."""

    def __init__(self, schema_id: SchemaId) -> None:
        super().__init__(f"{named(schema_id)} is not in the registry")


class UnsupportedSchema(InvalidFrame):
    """The schema is of a type that is not read here."""

    def __init__(self, schema_id: SchemaId, schema_type: str) -> None:
        super().__init__(f"{named(schema_id)} is of type {schema_type}; only JSON is read")


class RegistryNotConfigured(InvalidFrame):
    """The value is framed and nobody can say what its schema is."""

    def __init__(self, schema_id: SchemaId) -> None:
        super().__init__(f"value is framed ({named(schema_id)}) but no Schema Registry is configured (registry.url)")


def named(schema_id: SchemaId) -> str:
    """Return a schema id in words: "schema id 42", "schema GUID 89791762-2336-..."."""
    return f"schema id {schema_id}" if isinstance(schema_id, int) else f"schema GUID {schema_id}"


def read_frame(value: bytes, headers: Headers = ()) -> Framed | None:
    """Return the frame of a value; None when it has none.

    As in Confluent's deserializers, an id in the header means that the value itself is not framed.

    Raises:
        InvalidFrame: the frame is incomplete, or the header holds no schema id.
    """
    for name, content in headers:
        if name == VALUE_SCHEMA_ID:
            return Framed(_header_id(content or b""), value)
    magic = value[0] if value else None
    length = _LENGTHS.get(magic) if magic is not None else None
    if length is None:
        return None
    if len(value) < length:
        raise IncompleteFrame("", len(value))
    return Framed(_schema_id(value[:length]), value[length:])


def unframe_without_registry(value: bytes, headers: Headers = ()) -> bytes:
    """Return a value that is not framed as it is.

    Raises:
        InvalidFrame: it is framed, or broken.
    """
    frame = read_frame(value, headers)
    if frame is None:
        return value
    raise RegistryNotConfigured(frame.schema_id)


def _header_id(content: bytes) -> SchemaId:
    length = _LENGTHS.get(content[0]) if content else None
    if length is None:
        raise InvalidFrame(f"header `{VALUE_SCHEMA_ID}` does not start with magic byte 0 or 1")
    if len(content) != length:
        raise IncompleteFrame(f" in header `{VALUE_SCHEMA_ID}`", len(content))
    return _schema_id(content)


def _schema_id(frame: bytes) -> SchemaId:
    return int.from_bytes(frame[1:]) if frame[0] == MAGIC_ID else UUID(bytes=frame[1:])
