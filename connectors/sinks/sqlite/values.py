"""Values as the embedded stores keep them."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.sinks.sqlite.errors import Refused

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")


def json_text(value: Any) -> str:
    """Return a value as JSON text. Text and not a blob: SQLite takes a blob for its own binary JSON."""
    return _encoder.encode(value).decode()


def json_object(field: str, values: Mapping[str, Any]) -> str:
    """Return a mapping as JSON text.

    Raises:
        Refused: a number is not finite, which JSON cannot say.
    """
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Refused(f"`{field}.{name}` is not a finite number: {value}")
    return _encoder.encode(values).decode()


def canonical_tags(tags: Mapping[str, str]) -> str:
    """Return tags as JSON text that is equal for equal tags."""
    return _sorted_encoder.encode(tags).decode()
