"""What travels about conflicts: what sources say of entities, what came of it, and what operators decide."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.fields import Timestamp, Version
from schemas.reasons import shortened

T = TypeVar("T")

Milliseconds = Annotated[int, Meta(ge=0, lt=4_102_444_800_000, description="since 1970, until before 2100")]
Confidence = Annotated[float, Meta(ge=0, le=1, description="0 (a guess) to 1 (certain)")]
# settled: by the strategy. taken back: nobody's change holds. undecided: somebody has to decide. decided: somebody has.
Status = Literal["settled", "taken back", "undecided", "decided"]


class EntityClaim(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one source says a row of a table is.

    Attributes:
        table: "<schema>.<table>" of a type that has a strategy.
        id: of the row.
        source: names the version line.
        version: newer ones of one source are larger; those of two sources do not compare.
        at_ms: when it became so.
        content: all columns; null: the row is gone.
        confidence: how sure the source is.
        region: where it was said.
        base: SHA-256 of the canonical content that this changed, in base64; left out where the source does not tell.
    """

    table: str
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1, max_length=256)]
    version: Version
    at_ms: Milliseconds
    content: dict[str, Any] | None
    confidence: Confidence = 1.0
    region: str = ""
    base: bytes | None = None


class Side(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one source said in a conflict."""

    source: str
    version: Version
    at_ms: int
    content: dict[str, Any] | None
    confidence: float = 1.0
    region: str = ""


class Verdict(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an operator decided, or wanted to decide: `refused` says why it does not hold."""

    by: str
    at: Timestamp
    why: str = ""
    refused: str = ""


class ConflictEntry(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is told of a conflict: the last record of an entity holds. Times are milliseconds since 1970.

    Attributes:
        id: of the conflict, the same as long as it is open.
        entity: "<type>:<id>", the key of the record.
        strategy: of its type.
        sides: what contradicts each other, one of a source.
        agreed: the content that holds; while undecided, the last one that was agreed.
        agreed_version: of it, in the version line `agreed`.
    """

    id: str
    entity: str
    table: str
    strategy: str
    status: Status
    sides: list[Side]
    agreed: dict[str, Any] | None
    agreed_version: Version
    began_ms: int
    at_ms: int
    verdict: Verdict | None = None


class ConflictCommand(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an operator decides.

    Attributes:
        id: of the conflict.
        entity: the key of the record.
        seen: the versions of the sides that the operator has seen, by source. When somebody has said something else
            since, the decision does not hold.
        content: what holds from now on; null: the row is gone.
    """

    id: str
    entity: str
    seen: dict[str, Version]
    content: dict[str, Any] | None
    by: str
    at: Timestamp
    why: str = ""


class InvalidConflictRecord(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are not what they should be; the message names the field."""


encode_conflict_record = msgspec.json.Encoder().encode
_decoders: Mapping[type[Struct], msgspec.json.Decoder[Struct]] = {
    kind: msgspec.json.Decoder(kind) for kind in (EntityClaim, ConflictEntry, ConflictCommand)
}


def decode_conflict_record(data: bytes | None, kind: type[T]) -> T:
    """Read an `EntityClaim`, a `ConflictEntry` or a `ConflictCommand`.

    Raises:
        InvalidConflictRecord: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoders[kind].decode(data or b"")  # pyright: ignore[reportReturnType, reportArgumentType]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidConflictRecord(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidConflictRecord("JSON is nested too deeply") from error
