"""What travels when a person is erased: the beginning, how far it is, the end, and the certificate."""

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp, Version
from schemas.reasons import shortened
from schemas.writes import StoreName

T = TypeVar("T")

# In this order. A step that was interrupted is done again, and comes to the same.
ErasureStep = Literal["delete", "ask", "forget", "archive", "purge", "destroy_key", "certify", "release", "over"]


class ErasureStart(Struct, kw_only=True, frozen=True):
    """A person is to be erased, and no new event of theirs goes through from now on.

    Attributes:
        id: of the event that asked for it.
        user_id: the person.
        version: of that event; what is not newer is part of what is erased.
        requested_at: its time.
    """

    id: str
    user_id: str
    version: Version
    requested_at: Timestamp


class ErasureEnd(Struct, kw_only=True, frozen=True):
    """A person is erased: what waits for that may go on. `highest` is the newest version that a delete had."""

    id: str
    user_id: str
    version: Version
    highest: Version


class StoreAnswer(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What became of a person in one store.

    Attributes:
        deleted: entities that were deleted.
        asked: of how many of them it was asked whether it holds them.
        searched: whether it was asked for all that is the person's, too.
        found: what it still held when it was asked last; None: not asked yet. 0 is its answer "nothing".
        refused: of how many it holds nothing and refuses even the delete, as for a name that it cannot have.
        asked_at: when that was.
        purged_at: when its files were rewritten without what was deleted; None: it needs none, or it is left to it.
        forced: what was done for that.
        keeps: what its files may still contain of deleted data, and until when; empty: nothing, or it was not asked.
    """

    deleted: int = 0
    asked: int = 0
    searched: bool = False
    found: int | None = None
    refused: int = 0
    asked_at: Timestamp | None = None
    purged_at: Timestamp | None = None
    forced: str = ""
    keeps: str = ""


class Remains(Struct, kw_only=True, frozen=True):
    """Where something of the person still lies, and until when; None: as long as its owner keeps it."""

    where: str
    until: Timestamp | None


class Erasure(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How far an erasure is: all that whoever goes on with it has to know. The last record of a person holds.

    Attributes:
        id: of the event that asked for it.
        user_id: the person.
        version: of that event.
        requested_at: its time.
        began_at: when it was taken up.
        step: what is to be done next.
        stores: what became of the person in each store.
        highest: the newest version that a delete had.
        tombstones: by topic, how many records were replaced.
        large_values: objects of claims that were removed.
        ends: by "topic/partition", what the archive has to have come to before it is searched.
        archived: records that were taken out of the archive; None: it was left as it is.
        key: what became of the person's key.
        attempts: how often the present step was tried.
        due_ms: when it is tried again, in milliseconds since 1970.
        reason: why it did not come to its end the last time.
        certified_at: when the certificate was made.
    """

    id: str
    user_id: str
    version: Version
    requested_at: Timestamp
    began_at: Timestamp
    step: ErasureStep = "delete"
    stores: dict[StoreName, StoreAnswer] = {}
    highest: Version = 0
    tombstones: dict[str, int] = {}
    large_values: int = 0
    ends: dict[str, int] = {}
    archived: int | None = None
    key: str = ""
    attempts: int = 0
    due_ms: int = 0
    reason: str = ""
    certified_at: Timestamp | None = None


class Statement(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a certificate states: what was deleted where and when, what each store answered, and what remains.

    A new field has a default, which is left out: so certificates from before it was there stay genuine.
    """

    id: str
    user_id: str
    requested_at: Timestamp
    began_at: Timestamp
    certified_at: Timestamp
    policy: str
    stores: dict[StoreName, StoreAnswer]
    tombstones: dict[str, int]
    large_values: int
    key: str
    remains: list[Remains]
    archived: int | None = None  # records that were taken out of the archive


class Certificate(Struct, kw_only=True, frozen=True):
    """A statement and its signature.

    Attributes:
        statement: what is stated.
        algorithm: Ed25519 (RFC 8032), over the statement as JSON with sorted keys and without spaces.
        public_key: 32 bytes in Base64, of the key that signed.
        signature: 64 bytes in Base64.
    """

    statement: Statement
    algorithm: str
    public_key: str
    signature: str


class InvalidErasureRecord(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are not what they should be; the message names the field."""


encode_erasure_record = msgspec.json.Encoder().encode
_decoders: Mapping[type[Struct], msgspec.json.Decoder[Struct]] = {
    kind: msgspec.json.Decoder(kind) for kind in (ErasureStart, ErasureEnd, Erasure, Certificate)
}


def decode_erasure_record(data: bytes | None, kind: type[T]) -> T:
    """Read an `ErasureStart`, `ErasureEnd`, `Erasure` or `Certificate`.

    Raises:
        InvalidErasureRecord: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoders[kind].decode(data or b"")  # pyright: ignore[reportReturnType, reportArgumentType]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidErasureRecord(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidErasureRecord("JSON is nested too deeply") from error
