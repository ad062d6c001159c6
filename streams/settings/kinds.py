"""The options of the stores that are not embedded: which names they have, and whether the kind takes them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from connectors.sinks.kinds import EMBEDDED, StoreOption, UnknownKind, kind_of
from schemas.writes import STORES
from streams.settings.model import Stores

_NAME = re.compile(rf"stores\.(?:{'|'.join(STORES)})\.(?!.*\.\.)[a-z][a-z0-9_.]*")


class KindOption(NamedTuple):
    """An option of the kind that a store has, by its dotted name, with the value in force."""

    name: str
    option: StoreOption
    value: Any
    given: bool


def may_be_of_a_kind(name: str) -> bool:
    """Whether a dotted name can be that of an option of a store's kind; which kinds have it, is not asked."""
    return _NAME.fullmatch(name) is not None


def problems_of(stores: Stores, origins: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the kinds of the stores and their options; a value is in none of it."""
    for name in STORES:
        store = stores.of(name)
        if store.kind == EMBEDDED:
            reason = "the kind embedded has no such option"
            yield from (_said(f"stores.{name}.{one}", origins, reason) for one in store.given())
            continue
        try:
            kind = kind_of(name, store.kind)
            settled = kind.settle(store.given(kind.names))
        except UnknownKind as error:
            yield _said(f"stores.{name}.kind", origins, str(error))
            continue
        for problem in settled if isinstance(settled, list) else ():
            where = f"stores.{name}.{problem.name}" if problem.name else f"stores.{name}.kind"
            yield _said(where, origins, problem.reason)


def kind_options(stores: Stores) -> Iterator[KindOption]:
    """Yield the options of the kinds that the stores have; the embedded ones have none."""
    for name in STORES:
        store = stores.of(name)
        if store.kind == EMBEDDED:
            continue
        kind = kind_of(name, store.kind)
        given = store.given()
        for option in kind.described():
            if option.name in type(store).model_fields:
                continue  # it is listed with those that every kind has
            value = given.get(option.name, option.default)
            yield KindOption(f"stores.{name}.{option.name}", option, value, option.name in given)


def _said(name: str, origins: Mapping[str, str], reason: str) -> str:
    return f"option `{name}` (from {origins.get(name, 'default')}): {reason}"
