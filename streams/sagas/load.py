"""The kinds of sagas that the options name."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, cast

from streams.sagas.declared import DECLARED
from streams.sagas.kinds import Kind, Kinds


class SagasNotFound(ValueError):  # noqa: N818 - says what is wrong
    """`sagas.declared` names something that is no list of kinds; the message names it and the fix."""


def kinds_of(declared: Sequence[str]) -> Kinds:
    """Return the project's kinds of sagas, and those that are declared elsewhere, each as "package.module:NAME".

    Raises:
        SagasNotFound: one of them is not there, or is no list of kinds.
        InvalidDefinition: two have one name, or begin with the same fact.
    """
    return Kinds([*DECLARED, *(kind for one in declared for kind in _declared(one))])


def _declared(named: str) -> Iterable[Kind]:
    module, _, name = named.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SagasNotFound(f"sagas.declared: {named!r} cannot be imported: {error}") from error
    kinds: Sequence[Any] = cast(Sequence[Any], found) if isinstance(found, (list, tuple)) else [found]
    if not all(isinstance(kind, Kind) for kind in kinds):
        raise SagasNotFound(f"sagas.declared: {named!r} is no list of streams.sagas.kinds.Kind")
    return kinds
