"""What became of a write: one receipt for each, and one before it where the write replaces what it is undone to."""

from typing import Literal

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp, Version
from schemas.reasons import shortened
from schemas.writes import StoreName, Write

Result = Literal["captured", "applied", "superseded", "rejected"]


class Receipt(Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """The end of one write. `superseded` is success: the store held that version or a newer one already.

    `captured` is not the end: the store has told what it holds, and is asked to take the write only now. `undo` is the
    write that makes the entity what it was, a delete where it did not exist. Its version is the one the store held, 0
    for none; who sends it gives it a newer one. It is told when the write asked for it, is newer, and the store can
    tell. After a crash it may be told again: the last one before the end counts. A delete may come with the end
    instead, where no undo came before; with one that is superseded it says that the store held this very write.
    """

    store: StoreName
    entity: str
    version: Version
    source: str
    event_id: str
    result: Result
    at: Timestamp
    reason: str | None = None
    undo: Write | None = None
    undo_unknown: bool = False


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Receipt] = msgspec.json.Decoder(Receipt)


class InvalidReceipt(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are no receipt; the message names the field."""


def encode_receipt(receipt: Receipt) -> bytes:
    """Write a receipt as JSON."""
    return _encoder.encode(receipt)


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        InvalidReceipt: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidReceipt(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidReceipt("JSON is nested too deeply") from error
