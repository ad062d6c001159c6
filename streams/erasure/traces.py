"""What lies of a person in topics besides writes: records of compacted topics, and claims to large values."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, records_in
from schemas.claims import InvalidClaim, read_claim
from schemas.clock import milliseconds
from schemas.erasures import Erasure, Remains
from schemas.headers import CE_ID, CE_TIME, header_map
from schemas.persons import TRAVELLER_TABLES
from schemas.topics import Catalogue, Topic
from schemas.writes import STORES
from streams.persons.records import values_of_key
from streams.routing.entities import entity


class Compacted(NamedTuple):
    """A key of a compacted topic that is about a person."""

    topic: str
    key: bytes


class Keys(NamedTuple):
    """The keys of compacted topics that are about a person: those with a value, and all."""

    alive: list[Compacted]
    all: list[Compacted]


def compacted_of(connection: Connection, catalogue: Catalogue, user: str) -> Keys:
    """Return the keys that get a tombstone: the person's profile, rows that were captured, what sources said of them.

    Raises:
        KafkaException: the brokers do not answer.
    """
    rows = [topic.name for table, topic in catalogue.changes.items() if table in TRAVELLER_TABLES]
    rows += [topic.name for (_, table), topic in catalogue.other_changes.items() if table in TRAVELLER_TABLES]
    # A record of claims without a value has what is known of the entity forgotten.
    settled = [catalogue.claims.name, catalogue.conflicts.name]
    names = {user.encode(), entity("user", user).encode()}
    alive: dict[Compacted, bool] = {}
    for record in records_in(connection, [catalogue.reference_users.name, *rows, *settled]):
        key = record.key or b""
        if key in names or (record.topic in rows and user in values_of_key(key)):
            alive[Compacted(record.topic, key)] = record.value is not None
    return Keys([one for one, lives in alive.items() if lives], list(alive))


def claimed_by(connection: Connection, catalogue: Catalogue, erasure: Erasure, *, newer: bool) -> list[str]:
    """Return the keys of the objects that hold large events of a person.

    Args:
        connection: how to reach the brokers.
        catalogue: the topics.
        erasure: of the person.
        newer: also those of events that are newer than the request, and came after it.

    Raises:
        KafkaException: the brokers do not answer.
    """
    events = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events, catalogue.event_claims)
    asked: StoredRecord | None = None
    found: list[tuple[str, StoredRecord]] = []
    for record in records_in(connection, [topic.name for topic in events]):
        if record.key != erasure.user_id.encode() or not record.headers:
            continue
        if asked is None and header_map(record.headers).get(CE_ID) == erasure.id:
            asked = record
        try:
            claim = read_claim(record.value or b"", record.headers)
        except InvalidClaim:  # it leads to no object, and has become a dead letter
            continue
        if claim is not None:
            found.append((claim.key, structs.replace(record, value=None)))
    kept = set[str]() if newer else {key for key, record in found if _goes_on(record, erasure, asked)}
    return sorted({key for key, _ in found} - kept)


def _goes_on(record: StoredRecord, erasure: Erasure, asked: StoredRecord | None) -> bool:
    """Whether a record came after the request, with an event that is newer, as far as its headers tell."""
    if asked is None:  # it is kept no more
        later = record.timestamp > milliseconds(erasure.began_at)
    elif (record.topic, record.partition) == (asked.topic, asked.partition):
        later = record.offset > asked.offset
    else:
        later = record.timestamp > asked.timestamp
    try:
        return later and datetime.fromisoformat(header_map(record.headers)[CE_TIME]) > erasure.requested_at
    except (KeyError, ValueError, TypeError):  # no such header, no time, no zone
        return later


def remains_of(catalogue: Catalogue, at: datetime, *, archived: bool) -> Iterator[Remains]:
    """Yield where events of a person still lie after an erasure, and until when, at the latest but for a segment."""
    topics = [catalogue.user_events, catalogue.gps_events, catalogue.urgent_events, catalogue.event_claims]
    topics += [catalogue.waiting_events, catalogue.resumed_events, catalogue.person_changes, catalogue.dead_letters]
    topics += [catalogue.claims, catalogue.conflict_commands]
    topics += [catalogue.saga_starts, catalogue.saga_receipts, *(topic for topic, _, _ in catalogue.all_writes())]
    topics += [topic for store in STORES for topic in (catalogue.deferred(store), catalogue.compensations(store))]
    topics += catalogue.all_changes
    # A compacted topic keeps what a tombstone has followed until the brokers come to it.
    topics += [catalogue.changelog("waiting"), catalogue.changelog("lines", role="sagas")]
    for topic in topics:
        yield Remains(where=f"topic {topic.name}", until=_kept_until(topic, at))
    if archived:
        yield Remains(where="archive", until=None)


def _kept_until(topic: Topic, at: datetime) -> datetime | None:
    return (
        None
        if topic.retention_ms is None or topic.retention_ms < 0
        else at + timedelta(milliseconds=topic.retention_ms)
    )
