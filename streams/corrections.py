"""Correcting the value of a dead letter, and whether a value would be taken now. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from schemas.events import InvalidEvent, decode_any_event
from schemas.sagas import SagaEntry
from schemas.topics import Catalogue
from schemas.wire import MAGIC_GUID
from schemas.writes import STORES, InvalidWrite, StoreName, decode_write, key_of, store_of


class BadCorrection(ValueError):  # noqa: N818 - reads as a statement
    """A correction that cannot be made; the message names the place in the value."""


def problem_of(topic: str, key: bytes | None, value: bytes | None, catalogue: Catalogue) -> str | None:
    """Return why a record would become a dead letter again as soon as it is read, judged by the schemas of today.

    None: it would be read, or nobody can tell here (changes, values in a Schema Registry's frame).
    """
    if topic in _event_topics(catalogue):
        return _event_problem(key, value)
    store = _write_topics(catalogue).get(topic)
    return None if store is None else _write_problem(store, key, value)


def taken_back(topic: str, value: bytes | None, saga: SagaEntry, catalogue: Catalogue) -> bool:
    """Whether a record is a write of a saga that has taken it back, so that its store answers that it comes too late.

    The compensation itself is of another version: that may be sent again.
    """
    store = _write_topics(catalogue).get(topic)
    if store is None:
        return False
    try:
        write = decode_write(value or b"")
    except InvalidWrite:
        return False
    return any(
        (step.store, step.entity, step.version) == (store, write.entity, write.version)
        and step.status in ("undoing", "undone")
        for step in saga.steps
    )


def corrected(value: bytes | None, settings: Sequence[str]) -> bytes:
    """Return a JSON value with some of its parts replaced.

    Args:
        value: a JSON object.
        settings: each "path=value"; a path is names and list indexes with dots between them, a value is JSON, or a text
            that is no JSON.

    Raises:
        BadCorrection: the value is no JSON object, or a path does not lead anywhere in it.
    """
    try:
        document = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCorrection("the value is no JSON, so that it can only be replaced as a whole") from error
    for setting in settings:
        path, separator, text = setting.partition("=")
        if not separator or not path:
            raise BadCorrection(f"expected path=value, got {setting!r}")
        _set(document, path, _parsed(text))
    return msgspec.json.encode(document)


def _set(document: Any, path: str, value: Any) -> None:
    here = document
    *parents, last = path.split(".")
    for name in parents:
        here = _inside(here, name, path)
    if isinstance(here, dict):
        cast(dict[str, Any], here)[last] = value
    elif isinstance(here, list):
        cast(list[Any], here)[_index(cast(list[Any], here), last, path)] = value
    else:
        raise BadCorrection(f"nothing is at `{path}`")


def _inside(here: Any, name: str, path: str) -> Any:
    if isinstance(here, dict) and name in here:
        return cast(dict[str, Any], here)[name]
    if isinstance(here, list):
        return cast(list[Any], here)[_index(cast(list[Any], here), name, path)]
    raise BadCorrection(f"nothing is at `{path}`: there is no `{name}`")


def _index(here: Sequence[Any], name: str, path: str) -> int:
    if not name.isdecimal() or int(name) >= len(here):
        raise BadCorrection(f"nothing is at `{path}`: a list of {len(here)} has no `{name}`")
    return int(name)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _event_topics(catalogue: Catalogue) -> set[str]:
    return {one.name for one in (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)}


def _write_topics(catalogue: Catalogue) -> Mapping[str, StoreName]:
    lanes: dict[str, StoreName] = {topic.name: store for topic, store, _ in catalogue.all_writes()}
    beside: dict[str, StoreName] = {
        topic.name: store for store in STORES for topic in (catalogue.deferred(store), catalogue.compensations(store))
    }
    return {**lanes, **beside}


def _event_problem(key: bytes | None, value: bytes | None) -> str | None:
    if value is not None and value[:1] and value[0] <= MAGIC_GUID:
        return None
    try:
        event = decode_any_event(value or b"")
    except InvalidEvent as error:
        return str(error)
    return None if key == event.user_id.encode() else "the key is not the event's `user_id`"


def _write_problem(store: StoreName, key: bytes | None, value: bytes | None) -> str | None:
    try:
        write = decode_write(value or b"")
    except InvalidWrite as error:
        return str(error)
    if store_of(write) != store:
        return f"Expected a write for the store {store} - at `$.store`"
    return None if key == key_of(write).encode() else "the key is not the one of the write's entity"
