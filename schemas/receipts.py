"""What became of a write: one receipt for each, on the receipts topic."""

from typing import Literal

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp, Version
from schemas.writes import StoreName

Result = Literal["applied", "superseded", "rejected"]


class Receipt(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The end of one write. `superseded` is success: the store held that version or a newer one already."""

    store: StoreName
    entity: str
    version: Version
    source: str
    event_id: str
    result: Result
    at: Timestamp
    reason: str | None = None


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Receipt] = msgspec.json.Decoder(Receipt)


def encode_receipt(receipt: Receipt) -> bytes:
    """Write a receipt as JSON."""
    return _encoder.encode(receipt)


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        msgspec.MsgspecError: the bytes are no receipt.
    """
    return _decoder.decode(data)
