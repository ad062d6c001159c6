"""What operators ask of the deliveries: one record for each store, the last one holds."""

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp
from schemas.reasons import shortened
from schemas.writes import StoreName


class StoreControl(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Whether a store is paused, who said so, when and why."""

    store: StoreName
    paused: bool
    by: str
    at: Timestamp
    why: str = ""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[StoreControl] = msgspec.json.Decoder(StoreControl)


class InvalidControl(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are no control; the message names the field."""


def encode_control(control: StoreControl) -> bytes:
    """Write a control as JSON."""
    return _encoder.encode(control)


def decode_control(data: bytes) -> StoreControl:
    """Read a control.

    Raises:
        InvalidControl: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidControl(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidControl("JSON is nested too deeply") from error
