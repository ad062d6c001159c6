"""Whether a record of any topic is about a person. Pure, but for what it logs."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec

from connectors.kafka.reading import StoredRecord
from schemas.persons import TRAVELLER_TABLES, USER_ID, persons_of
from schemas.receipts import InvalidReceipt
from schemas.sagas import InvalidSagaRecord
from schemas.topics import Catalogue
from schemas.writes import InvalidWrite
from streams.persons.topics import writes_of
from streams.routing.entities import entity

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Belonging:
    """Tells whose records are, of the topics of a catalogue and of others that lie beside them.

    A record is somebody's when its key is their id or the entity that they are, when it is the change of their row,
    when what it writes is about them (`schemas.persons`), or when it has a member `user_id`, wherever in its JSON or
    msgpack, that is their id. Of an event only the key counts: what others said of them is the others'. What an erasure
    tells of itself is nobody's.

    Args:
        catalogue: the topics.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        tables = [*catalogue.changes.items(), *((table, one) for (_, table), one in catalogue.other_changes.items())]
        self._rows = {topic.name for table, topic in tables if table in TRAVELLER_TABLES}
        self._writes = writes_of(catalogue)
        erasures = (catalogue.erasure_starts, catalogue.erasure_ends, catalogue.erasure_log, catalogue.erasures)
        self._nobodys = {topic.name for topic in erasures}
        self._places = {topic.name for topic in catalogue if topic.key == "place_id"}
        events = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)
        self._events = {topic.name for topic in events}

    def __call__(self, record: StoredRecord, user: str) -> bool:
        """Whether a record is a person's."""
        topic, key = record.topic, record.key or b""
        if topic in self._nobodys:
            return False
        if topic not in self._places and key in (user.encode(), entity("user", user).encode()):
            return True
        if topic in self._events:
            return False
        if topic in self._rows and user in values_of_key(key):
            return True
        if topic in self._writes:
            with suppress(InvalidWrite, InvalidSagaRecord, InvalidReceipt):  # then it is looked at as any other
                if any(user in persons_of(write) for write in self._writes[topic](record)):
                    return True
        return any(_names(data, user) for data in (key, record.value or b""))


def values_of_key(key: bytes) -> set[str]:
    """Return the values of a key as Debezium writes it, with its schema or without; none when it is no such key."""
    try:
        decoded = msgspec.json.decode(key, type=dict[str, Any])
        columns = msgspec.convert(decoded.get("payload", decoded), dict[str, Any])
    except _UNREADABLE:
        return set()
    return {str(value) for value in columns.values()}


def _names(data: bytes, user: str) -> bool:
    """Whether JSON or msgpack has a member that names a person; what is neither has none."""
    told = msgspec.json.encode(user)[1:-1]
    # Most records are others': a look at the bytes spares reading them, unless there are two ways to write the id.
    if user.isascii() and told == user.encode() and "/" not in user and told not in data:
        return False
    for decode in (msgspec.json.decode, msgspec.msgpack.decode):
        with suppress(*_UNREADABLE):
            return user in _persons_in(decode(data))
    return False


def _persons_in(value: Any) -> Iterator[object]:
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[str, Any]", value).items():
            if name == USER_ID:
                yield str(member)
            yield from _persons_in(member)
    elif isinstance(value, list):
        for member in cast("list[Any]", value):
            yield from _persons_in(member)
