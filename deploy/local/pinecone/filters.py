"""Pinecone's language of metadata filters. Pure.

Source: https://docs.pinecone.io/guides/index-data/indexing-overview, "Metadata filter expressions".
"""

from collections.abc import Callable, Mapping
from typing import Any, cast


class BadFilter(ValueError):  # noqa: N818 - says what it is
    """The filter is none that Pinecone knows."""


_NOTHING = object()


def matches(conditions: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Return whether metadata fit a filter; several conditions all have to hold.

    Raises:
        BadFilter: an operator is unknown.
    """
    for name, condition in conditions.items():
        if name == "$and":
            fits = all(matches(one, metadata) for one in condition)
        elif name == "$or":
            fits = any(matches(one, metadata) for one in condition)
        elif name.startswith("$"):
            raise BadFilter(f"unknown operator {name}")
        else:
            fits = _fits(condition, metadata.get(name, _NOTHING))
        if not fits:
            return False
    return True


def _fits(condition: Any, value: Any) -> bool:
    if not isinstance(condition, Mapping):
        return _equals(value, condition)
    for operator, operand in cast("Mapping[str, Any]", condition).items():
        if operator not in _OPERATORS:
            raise BadFilter(f"unknown operator {operator}")
        if not _OPERATORS[operator](value, operand):
            return False
    return True


def _equals(value: Any, operand: Any) -> bool:
    return operand in value if isinstance(value, list) else value == operand


def _number(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, operand: isinstance(value, int | float) and compare(value, operand)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": _equals,
    "$ne": lambda value, operand: not _equals(value, operand),
    "$in": lambda value, operand: any(_equals(value, one) for one in operand),
    "$nin": lambda value, operand: not any(_equals(value, one) for one in operand),
    "$exists": lambda value, operand: (value is not _NOTHING) == operand,
    "$gt": _number(lambda value, operand: value > operand),
    "$gte": _number(lambda value, operand: value >= operand),
    "$lt": _number(lambda value, operand: value < operand),
    "$lte": _number(lambda value, operand: value <= operand),
}
