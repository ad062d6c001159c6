"""Whether a reader with a new JSON Schema can read everything that writers with an old one wrote (BACKWARD).

For the subset of JSON Schema that msgspec generates, see `schemas.alternatives`. The check is sound, not complete: what
it accepts is compatible, and a keyword it does not understand is reported unless both schemas use it in the same way.

One rule differs from plain JSON Schema, on purpose. An object with named properties lets others through, so its
writers might have sent anything under a name that is new; but writers are structs and send only what they declare.
A new optional field is therefore compatible.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from schemas.alternatives import (
    Alternative,
    NotUnderstood,
    Schema,
    accepts,
    alternatives,
    is_unrestricted,
)
from schemas.bounds import narrowed_bounds

# Constraints that are compared by equality: whether one pattern includes another is not for us to find out.
_BY_EQUALITY = ("pattern", "format", "multipleOf", "contentEncoding", "uniqueItems")


class Incompatibility(Struct, frozen=True, order=True):
    """One reason why old records can no longer be read. `path` is the field, as "gps_update.lat"; "" is the whole."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


def incompatibilities(old: Schema, new: Schema) -> list[Incompatibility]:
    """Return why a reader with `new` cannot read all that was written with `old`; an empty list when it can."""
    return _Comparison(old, new).schemas(old, new, "")


class _Comparison:
    """One comparison of two documents; it knows where their references lead and which pairs it is in the middle of."""

    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._in_progress: set[tuple[str, str]] = set()

    def schemas(self, old: Schema, new: Schema, path: str) -> list[Incompatibility]:
        pair = (_reference(old), _reference(new))
        if all(pair):
            if pair in self._in_progress:
                return []  # a recursive type: compatible unless a difference turns up elsewhere
            self._in_progress.add(pair)
        try:
            return self._compared(old, new, path)
        except NotUnderstood as error:
            same = old == new and '"$ref"' not in json.dumps(old)
            return [] if same else [Incompatibility(path, f"uses {error}, which this check cannot compare")]
        finally:
            self._in_progress.discard(pair)

    def _compared(self, old: Schema, new: Schema, path: str) -> list[Incompatibility]:
        if is_unrestricted(new, self._new_root):
            return []
        olds, news = alternatives(old, self._old_root), alternatives(new, self._new_root)
        found = [one for alternative in olds for one in self._alternative(alternative, olds, news, path)]
        if found and is_unrestricted(old, self._old_root):
            return [Incompatibility(path, f"anything was allowed, now only {_kinds(news)}")]
        return found

    def _alternative(
        self, old: Alternative, olds: Sequence[Alternative], news: Sequence[Alternative], path: str
    ) -> list[Incompatibility]:
        if (values := _finite(old)) is not None:
            if all(any(accepts(new, value) for new in news) for value in values):
                return []
            return [Incompatibility(path, _gone(old, olds, news))]
        fitting = [new for new in news if new.kind == old.kind or (old.kind, new.kind) == ("integer", "number")]
        here = path
        if old.tag is not None:
            here = _join(path, old.tag)
            fitting = [new for new in fitting if new.tag in (old.tag, None)]
            if not fitting:
                return [Incompatibility(here, "removed, records of this type can no longer be read")]
        if not fitting:
            return [Incompatibility(path, _gone(old, olds, news))]
        return min((self._constraints(old, new, here) for new in fitting), key=len)

    def _constraints(self, old: Alternative, new: Alternative, path: str) -> list[Incompatibility]:
        was, now = old.constraints, new.constraints
        reasons = [*narrowed_bounds(old.kind, was, now), *_changed(was, now)]
        found = [Incompatibility(path, reason) for reason in reasons]
        if old.kind == "array" and "items" in now:
            found += self.schemas(was.get("items", True), now["items"], path + "[]")
        if old.kind == "object":
            found += self._objects(was, now, path)
        return found

    def _objects(self, was: Mapping[str, Any], now: Mapping[str, Any], path: str) -> list[Incompatibility]:
        old_fields: Mapping[str, Schema] = was.get("properties", {})
        new_fields: Mapping[str, Schema] = now.get("properties", {})
        # What an old writer may have put under a name it does not declare; False for a struct, which puts nothing.
        undeclared: Schema = was.get("additionalProperties", not old_fields)
        found: list[Incompatibility] = []
        for name in sorted(set(now.get("required", ())) - set(was.get("required", ()))):
            known = name in old_fields
            reason = "became required" if known else "new required field"
            found.append(Incompatibility(_join(path, name), f"{reason}, older records may lack it; give it a default"))
        for name, old_field in old_fields.items():
            new_field: Schema = new_fields.get(name, now.get("additionalProperties", True))
            if new_field is False:
                found.append(Incompatibility(_join(path, name), "removed, and unknown fields are refused"))
            else:
                found += self.schemas(old_field, new_field, _join(path, name))
        for name in sorted(new_fields.keys() - old_fields.keys()):
            found += self.schemas(undeclared, new_fields[name], _join(path, name))
        if undeclared is not False:
            found += self.schemas(undeclared, now.get("additionalProperties", True), _join(path, "*"))
        return found


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in _BY_EQUALITY:
        old, new = was.get(name), now.get(name)
        if new is not None and new != old:
            found.append(f"{name} {new} added" if old is None else f"{name} changed from {old} to {new}")
    if "contentEncoding" in was and "contentEncoding" not in now:
        found.append(f"contentEncoding {was['contentEncoding']} removed, bytes would be read as their encoded text")
    return found


def _gone(old: Alternative, olds: Sequence[Alternative], news: Sequence[Alternative]) -> str:
    if old.kind == "value":
        return f"value {json.dumps(old.value)} is no longer allowed, only {_kinds(news)}"
    if len(olds) == 1:
        return f"type changed from {old.kind} to {_kinds(news)}"
    return f"type {old.kind} is no longer allowed, only {_kinds(news)}"


def _kinds(alternatives: Sequence[Alternative]) -> str:
    """Name what is allowed, each thing once."""
    names = [json.dumps(one.value) if one.kind == "value" else one.kind for one in alternatives]
    return " or ".join(dict.fromkeys(names)) or "nothing"


def _finite(alternative: Alternative) -> list[Any] | None:
    """Return all values of an alternative where they can be counted on one hand."""
    return {"value": [alternative.value], "null": [None], "boolean": [True, False]}.get(alternative.kind)


def _reference(schema: Schema) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, Mapping) else ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
