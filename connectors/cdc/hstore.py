"""The text of an hstore to JSON. Format: PostgreSQL documentation, "hstore": `"key"=>"value", "other"=>NULL`."""

import re

import msgspec

_PAIR = re.compile(rb'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)(?:, |\Z)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def hstore_as_map(value: bytes) -> bytes:
    """Return an hstore as a JSON object of texts and null.

    Raises:
        ValueError: it is no hstore.
    """
    return msgspec.json.encode(_pairs(value))


def hstore_as_json(value: bytes) -> bytes:
    """Return an hstore as a text that holds that object. Raises ValueError as `hstore_as_map` does."""
    return msgspec.json.encode(hstore_as_map(value).decode())


def _pairs(value: bytes) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    at = 0
    while at < len(value):
        match = _PAIR.match(value, at)
        if match is None:
            raise ValueError("no hstore")
        pairs[_text(match[1])] = None if match[2] is None else _text(match[2])
        at = match.end()
    return pairs


def _text(quoted: bytes) -> str:
    return _ESCAPED.sub(rb"\1", quoted).decode("utf-8", "replace")
