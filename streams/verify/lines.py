"""What the sweep knows of an entity: its version lines, as its writes leave them, and what it may find. Pure."""

from typing import Literal, NamedTuple

from msgspec import Struct

from schemas.writes import StoreName, Write

Kind = Literal["missing", "stale", "extra", "different"]
Home = tuple[str, int]  # topic, partition


class Origin(NamedTuple):
    """Where a write lies in Kafka."""

    topic: str
    partition: int
    offset: int


class Column(NamedTuple):
    """A column of a row: the SHA-256 of its value, and the write that set it."""

    digest: bytes
    origin: Origin


class Line(Struct, frozen=True, kw_only=True):
    """The newest write of one entity from one source.

    Attributes:
        version: of that write.
        deleted: whether it is a delete.
        digest: SHA-256 of its content; empty for a delete, and in the relational store, whose writes tell columns.
        columns: in the relational store, those that writes have set, by name.
        at_ms: when it came to Kafka, in milliseconds since 1970.
        gone_at_ms: when it may have expired; None: never.
        origin: where it lies.
        place: a delete of the entity, which says where it lies in the store.
        may_be_gone: it is a relation, and one of its nodes was deleted, or may have been before the topics begin.
    """

    entity: str
    source: str
    version: int
    deleted: bool
    digest: bytes
    at_ms: int
    origin: Origin
    place: Write
    gone_at_ms: int | None = None
    columns: dict[str, Column] = {}
    may_be_gone: bool = False


class Finding(Struct, frozen=True, kw_only=True):
    """Something that a store holds otherwise than its writes say.

    Attributes:
        kind: missing: it is not there; stale: an older version is; extra: it is there and should not be; different:
            its content, or its number, is another one.
        expected: the version that should be there; None: nothing should.
        found: the version that is there; None: none.
        detail: in words, without content.
    """

    store: StoreName
    entity: str
    source: str
    kind: Kind
    expected: int | None
    found: int | None
    detail: str
