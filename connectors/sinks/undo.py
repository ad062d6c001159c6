"""What undoes a write of an entity that was not there: a delete, which carries no content. Pure."""

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT

from schemas.writes import BaseWrite, GraphWrite

W = TypeVar("W", bound=BaseWrite)

_COMMON = frozenset(field.name for field in msgspec.structs.fields(BaseWrite))


def emptied(write: W, names: Collection[str] = ()) -> W:
    """Return the delete of a write's entity, of version 0.

    Args:
        write: an upsert or a delete.
        names: fields that say where the entity lies, and are kept besides those that every write of the kind has.
    """
    without: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(write)):
        if field.name in _COMMON or field.name in names:
            continue
        if field.default_factory is not NODEFAULT:
            without[field.name] = field.default_factory()
        elif field.default is not NODEFAULT:
            without[field.name] = field.default
    return msgspec.structs.replace(write, **without, op="delete", version=0, undo=False, sealed=None)


def undone_to_nothing(write: W, names: Collection[str] = ()) -> W:
    """Return what undoes a write where its entity did not exist: its delete, of version 0; see `emptied`.

    A node that only relations have named did not exist either. Its relations are others' writes, and stay.
    """
    delete = emptied(write, names)
    if isinstance(delete, GraphWrite) and delete.node is not None:
        return msgspec.structs.replace(delete, keep_relations=True)
    return delete
