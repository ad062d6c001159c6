"""Bounds of numbers and sizes in JSON Schema, and whether new ones let through less than old ones."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

Constraints = Mapping[str, Any]


class _Side(NamedTuple):
    """One side of a range: the keywords of the bound, and `sign` 1 for a lower and -1 for an upper bound."""

    inclusive: str
    exclusive: str
    sign: int


_RANGE = (_Side("minimum", "exclusiveMinimum", 1), _Side("maximum", "exclusiveMaximum", -1))
_SIDES: Mapping[str, tuple[_Side, ...]] = {
    "integer": _RANGE,
    "number": _RANGE,
    "string": (_Side("minLength", "", 1), _Side("maxLength", "", -1)),
    "array": (_Side("minItems", "", 1), _Side("maxItems", "", -1)),
    "object": (_Side("minProperties", "", 1), _Side("maxProperties", "", -1)),
}


class _Bound(NamedTuple):
    """A bound times its side's sign, so that of two bounds of a side the greater one is the tighter."""

    signed: float
    is_exclusive: bool

    def shown(self, sign: int) -> str:
        value = self.signed * sign
        return f"{'above' if sign > 0 else 'below'} {value}" if self.is_exclusive else str(value)


def narrowed_bounds(kind: str, old: Constraints, new: Constraints) -> list[str]:
    """Return the bounds by which `new` refuses some value of JSON type `kind` that `old` allows, in words."""
    found: list[str] = []
    for side in _SIDES.get(kind, ()):
        was, now = _bound(side, kind, old), _bound(side, kind, new)
        if now is None or (was is not None and was >= now):
            continue
        if was is None:
            found.append(f"{side.inclusive} {now.shown(side.sign)} added")
        else:
            verb = "raised" if side.sign > 0 else "lowered"
            found.append(f"{side.inclusive} {verb} from {was.shown(side.sign)} to {now.shown(side.sign)}")
    return found


def _bound(side: _Side, kind: str, constraints: Constraints) -> _Bound | None:
    given = [
        _Bound(constraints[keyword] * side.sign, keyword == side.exclusive)
        for keyword in (side.inclusive, side.exclusive)
        if keyword in constraints
    ]
    if not given:
        return None if kind in ("integer", "number") or side.sign < 0 else _Bound(0, is_exclusive=False)
    tightest = max(given)
    if kind != "integer":
        return tightest
    # "above 0" and "from 1" are the same for integers.
    whole = math.floor(tightest.signed) + 1 if tightest.is_exclusive else math.ceil(tightest.signed)
    return _Bound(whole, is_exclusive=False)
