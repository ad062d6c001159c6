"""Read sealed fields, for those who may: what was sealed, or that it is erased."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from connectors.keys.user_keys import UserKeys
from schemas.sensitive import ERASED, read_sealed


class Erased(Struct, frozen=True):
    """Stands for a value that nobody can read any more: its key is gone."""

    def __str__(self) -> str:
        return "erased"


GONE: Final = Erased()


class FieldValue(NamedTuple):
    """A field as a store or a topic gives it: whose it is, its name, and what stands in it."""

    user_id: str
    field: str
    text: str


def unseal(keys: UserKeys, values: Sequence[FieldValue]) -> list[str | Erased]:
    """Return what was sealed in each field; what is not sealed is returned as it is.

    Raises:
        NotSealedHere: a value was altered, or is of another user or field.
        Unavailable: the keys cannot be had now.
        Fatal: they cannot be had until somebody changes something; names the option.
    """
    sealed = [read_sealed(one.text) for one in values]
    users = [one.user_id for one, found in zip(values, sealed, strict=True) if found not in (None, ERASED)]
    held = keys.get(users) if users else {}
    read: list[str | Erased] = []
    for one, found in zip(values, sealed, strict=True):
        if found is None:
            read.append(one.text)
            continue
        key = held.get(one.user_id)
        # The key of another id is the one with which the user started afresh.
        read.append(key.unseal(one.field, found) if key is not None and key.key_id == found.key_id else GONE)
    return read
