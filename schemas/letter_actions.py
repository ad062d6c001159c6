"""What operators did with dead letters: one record for each deed, never changed."""

from typing import Literal

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp
from schemas.reasons import shortened

Deed = Literal["replayed", "edited", "discarded"]


class LetterAction(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Who did what with a letter, and when.

    `position` is the letter's, `origin` that of the record it was made from ("<topic>-<partition>@<offset>"). The
    values are told by their SHA-256 alone: `found` as the letter had it, `sent` as it went out, if it did.
    """

    position: str
    origin: str
    deed: Deed
    by: str
    at: Timestamp
    found: str
    sent: str | None = None
    why: str = ""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LetterAction] = msgspec.json.Decoder(LetterAction)


class InvalidAction(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are no such record; the message names the field."""


def encode_action(action: LetterAction) -> bytes:
    """Write an action as JSON."""
    return _encoder.encode(action)


def decode_action(data: bytes) -> LetterAction:
    """Read an action.

    Raises:
        InvalidAction: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidAction(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidAction("JSON is nested too deeply") from error
