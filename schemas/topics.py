"""The catalogue of topics: the only place that names one.

Topics are created and checked from it, the AsyncAPI document is generated from it, and the code asks it for names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from schemas.state_tables import CONFLICT_TABLES, ERASURE_TABLES, SAGA_TABLES, STATE_TABLES
from schemas.topic import DAY_MS, MIB, Topic
from schemas.writes import STORES, WRITE_TYPES, Priority, StoreName

# What comes to a coordinator fits into a topic of writes when it goes out again, with the headers of its saga.
SAGA_BYTES = 2 * MIB - 64 * 1024


class Catalogue:
    """All topics of one installation.

    Args:
        prefix: put before every name, so that several installations can share a cluster.
        partitions: of every topic. One number for all, because tables are partitioned like the topics that feed them.
        cdc_prefix: Debezium's `topic.prefix`, by default `cdc.<database>`.
        tables: the captured tables as "<schema>.<table>".
        keyless_changes: some changes have no key, so their topics are kept whole instead of compacted.
        other_sources: prefixes of the topics in which other databases tell the changes of the same tables.
        event_segment_ms: how old segments of the topics of events may become; None: as the brokers have it.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        partitions: int = 4,
        cdc_prefix: str = "cdc.travel",
        tables: Sequence[str] = ("public.restaurants", "public.places", "public.users"),
        keyless_changes: bool = False,
        other_sources: Sequence[str] = (),
        event_segment_ms: int | None = None,
    ) -> None:
        self.prefix = prefix
        self.partitions = partitions
        self.cdc_prefix = cdc_prefix
        self.tables = tuple(tables)
        self._keyless_changes = keyless_changes

        def topic(name: str, **rest: object) -> Topic:
            return Topic(name=prefix + name, partitions=partitions, **rest)  # pyright: ignore[reportArgumentType]

        events = {"key": "user_id", "value": "Event", "owner": "producers", "retention_ms": 30 * DAY_MS}
        # The broker lets through more than intake accepts: an oversized value becomes a dead letter, with its reason,
        # instead of an error in a producer that nobody reads.
        large = {"max_message_bytes": 10 * MIB}
        came = {**events, **large, "segment_ms": event_segment_ms}
        self.user_events = topic("user-events", purpose="what travellers say and do", **came)
        self.gps_events = topic("gps-events", purpose="GPS fixes", **came)
        self.urgent_events = topic("urgent-events", purpose="events that overtake all others", **came)
        self.event_claims = topic(
            "events.claims",
            purpose="claims of large events that were deleted where they came in, for erasures",
            **(events | {"owner": "erasure"}),
        )
        self.waiting_events = topic(
            "events.waiting",
            key="place_id",
            value="WaitingEvent",
            owner="ingest",
            purpose="events about a place that is not known yet, re-keyed by that place",
            **large,
        )
        self.resumed_events = topic(
            "events.resumed",
            key="user_id",
            value="ResumedEvent",
            owner="ingest",
            purpose="events whose place has arrived, on their way back",
            **large,
        )
        self.person_changes = topic(
            "changes.persons",
            key="user_id",
            value="Change",
            owner="ingest",
            purpose="changes of rows that are persons, re-keyed by them; used where erasures are on",
            **large,
        )
        self.reference_places = topic(
            "reference.places",
            key="place_id",
            value="Place",
            owner="ingest",
            cleanup="compact",
            retention_ms=None,
            purpose="what enrichment knows of each place",
        )
        self.reference_vectors = topic(
            "reference.place-vectors",
            key="place_id",
            value="PlaceVector",
            owner="ingest",
            cleanup="compact",
            retention_ms=None,
            purpose="what the text of each place means, for who is similar to whom",
        )
        self.reference_users = topic(
            "reference.users",
            key="user_id",
            value="Profile",
            owner="ingest",
            cleanup="compact",
            retention_ms=None,
            purpose="what enrichment knows of each traveller",
        )
        self.changes = {table: self.changes_of(table) for table in self.tables}
        others = [(source, table) for source in other_sources if source != cdc_prefix for table in tables]
        self.other_changes = {(source, table): self.changes_of(table, source) for source, table in others}
        self.cdc_offsets = topic(
            "cdc.offsets",
            key="slot",
            value="CdcOffset",
            owner="cdc",
            cleanup="compact",
            retention_ms=None,
            purpose="how far the source of changes has got",
        )
        self.cdc_signals = topic(
            f"{cdc_prefix}-signal",  # Debezium's default, signal.kafka.topic
            key="topic prefix",
            value="Signal",
            owner="operators",
            purpose="what the source of changes is asked to do: snapshots of tables while it streams",
        )
        self._writes: dict[tuple[StoreName, Priority], Topic] = {
            (store, lane): topic(
                f"writes.{store}" + (".urgent" if lane == "urgent" else ""),
                key="entity",
                value=WRITE_TYPES[store].__name__,
                owner="ingest",
                purpose=f"writes for the {store} store" + (", urgent lane" if lane == "urgent" else ""),
                max_message_bytes=2 * MIB,
            )
            for store in STORES
            for lane in ("normal", "urgent")
        }
        self.letter_actions = topic(
            "dead-letters.actions",
            key="position of the letter",
            value="LetterAction",
            owner="operators",
            retention_ms=365 * DAY_MS,
            purpose="who replayed, edited or discarded which dead letter, and when",
        )
        self._deferred: dict[StoreName, Topic] = {
            store: topic(
                f"writes.{store}.deferred",
                key="entity",
                value=WRITE_TYPES[store].__name__,
                owner="deliver",
                purpose=f"writes for the {store} store that were put off while it lagged behind",
                max_message_bytes=2 * MIB,
            )
            for store in STORES
        }
        self._compensations: dict[StoreName, Topic] = {
            store: topic(
                f"compensations.{store}",
                key="entity",
                value=WRITE_TYPES[store].__name__,
                owner="sagas",
                purpose=f"writes that take back what sagas wrote to the {store} store",
                max_message_bytes=2 * MIB,
            )
            for store in STORES
        }
        self.saga_starts = topic(
            "sagas.starts",
            key="subject",
            value="SagaStart",
            owner="ingest",
            purpose="facts whose writes are to hold in all of their stores or in none",
            max_message_bytes=SAGA_BYTES,
        )
        self.saga_receipts = topic(
            "sagas.receipts",
            key="subject",
            value="Receipt",
            owner="deliver",
            purpose="what became of the writes of sagas, and what they replace",
            max_message_bytes=SAGA_BYTES,
        )
        self.saga_commands = topic(
            "sagas.commands",
            key="subject",
            value="SagaCommand",
            owner="operators",
            purpose="what operators ask of sagas",
        )
        self.saga_log = topic(
            "saga-log",
            key="saga id",
            value="SagaEntry",
            owner="sagas",
            cleanup="compact,delete",
            purpose="how far each saga is and how it got there, told again every hour until it is over",
        )
        self.saga_alerts = topic(
            "saga-alerts",
            key="saga id",
            value="SagaAlert",
            owner="sagas",
            retention_ms=90 * DAY_MS,
            purpose="sagas that do not get on by themselves",
        )
        self.claims = topic(
            "claims",
            key="entity",
            value="EntityClaim",
            owner="ingest, producers",
            purpose="what sources say of entities of types that are settled",
            max_message_bytes=2 * MIB,
        )
        self.conflicts = topic(
            "conflicts",
            key="entity",
            value="ConflictEntry",
            owner="ingest",
            cleanup="compact",
            retention_ms=None,
            purpose="the last conflict of each entity: what contradicted each other, and what came of it",
            max_message_bytes=10 * MIB,
        )
        self.conflict_commands = topic(
            "conflicts.commands",
            key="entity",
            value="ConflictCommand",
            owner="operators",
            retention_ms=365 * DAY_MS,
            purpose="who decided which conflict, when and why",
            max_message_bytes=2 * MIB,
        )

        def erasing(name: str, value: str, owner: str, purpose: str, **rest: object) -> Topic:
            return topic(name, value=value, owner=owner, purpose=purpose, **{"key": "user_id", **rest})

        kept: dict[str, object] = {"cleanup": "compact", "retention_ms": None}
        self.erasure_starts = erasing(
            "erasures.starts",
            "ErasureStart",
            "ingest",
            "persons of whom nothing new goes through, who are to be erased",
        )
        self.erasure_ends = erasing("erasures.ends", "ErasureEnd", "erasure", "persons who are erased")
        self.erasure_log = erasing("erasures.log", "Erasure", "erasure", "how far each erasure is", **kept)
        self.erasures = erasing(
            "erasures",
            "Certificate",
            "erasure",
            "certificates: what was deleted where and when, and what each store answered",
            **(kept | {"key": "id of the erasure"}),
        )
        self.store_controls = topic(
            "deliver.controls",
            key="store",
            value="StoreControl",
            owner="operators",
            cleanup="compact",
            retention_ms=None,
            purpose="which stores are paused, by whom and why",
        )
        self._write_topics: dict[Priority, dict[StoreName, str]] = {
            lane: {store: self._writes[store, lane].name for store in STORES} for lane in ("normal", "urgent")
        }
        self.receipts = topic(
            "receipts",
            key="entity",
            value="Receipt",
            owner="deliver",
            retention_ms=DAY_MS,
            purpose="what became of each write",
        )
        self.dead_letters = topic(
            "dead-letters",
            key="the original key",
            value="the original bytes",
            owner="ingest, deliver",
            retention_ms=90 * DAY_MS,
            max_message_bytes=12 * MIB,
            purpose="records that could not be processed, with their reason in the headers",
        )

    @property
    def all_changes(self) -> list[Topic]:
        """The topics of the changes of tables, those of other sources too."""
        return [*self.changes.values(), *self.other_changes.values()]

    def changes_of(self, table: str, source: str | None = None) -> Topic:
        """Return the topic of the changes of a table, also of one that is captured by a pattern.

        Args:
            table: as "<schema>.<table>".
            source: prefix of the topics of another database; None: the one that is captured here.
        """
        topic = Topic(
            # Debezium too replaces what a topic's name may not hold.
            name=f"{self.prefix}{source or self.cdc_prefix}.{re.sub('[^A-Za-z0-9._-]', '_', table)}",
            key="primary key",
            value="Change",
            owner="cdc",
            partitions=self.partitions,
            cleanup="compact",
            retention_ms=None,
            purpose=f"changes of the table {table}, in the Debezium format",
            max_message_bytes=10 * MIB,
            may_lack_keys=True,
        )
        return topic.without_keys() if self._keyless_changes else topic

    def beside_changes(self, name: str, *, key: str, purpose: str) -> Topic:
        """Return one of the topics that Debezium's connectors have beside those of tables."""
        return Topic(
            name=f"{self.prefix}{self.cdc_prefix}.{name}",
            key=key,
            value="JSON",
            owner="cdc",
            partitions=1,  # their order matters
            purpose=purpose,
            max_message_bytes=10 * MIB,
        )

    def routed_from_outbox(self, name: str) -> Topic:
        """Return a topic of the messages of an outbox, by its whole name."""
        return Topic(
            name=name,
            key="aggregate",
            value="the payload",
            owner="cdc",
            partitions=self.partitions,
            purpose="messages of an outbox table",
            max_message_bytes=10 * MIB,
        )

    def writes(self, store: StoreName, lane: Priority = "normal") -> Topic:
        """Return the topic of the writes for one store and lane."""
        return self._writes[store, lane]

    def deferred(self, store: StoreName) -> Topic:
        """Return the topic of the writes for one store that were put off."""
        return self._deferred[store]

    def compensations(self, store: StoreName) -> Topic:
        """Return the topic of the writes that take back what sagas wrote to one store."""
        return self._compensations[store]

    def write_topics(self, lane: Priority = "normal") -> Mapping[StoreName, str]:
        """Return the names of one lane's topics of writes, by store."""
        return self._write_topics[lane]

    def all_writes(self) -> Iterator[tuple[Topic, StoreName, Priority]]:
        """Yield the topics of writes with the store and the lane of each."""
        for (store, lane), topic in self._writes.items():
            yield topic, store, lane

    def changelog(self, table: str, *, retention_ms: int | None = None, role: str = "ingest") -> Topic:
        """Return the changelog topic of one of the state tables of a role.

        Args:
            table: name of the table.
            role: whose it is.
            retention_ms: for a table whose entries expire; None keeps the last value of every key.
        """
        return Topic(
            name=f"{self.prefix}travelos-{role}-{table}-changelog",
            key="the table's key",
            value="StateEntry",
            owner=role,
            partitions=self.partitions,
            cleanup="compact" if retention_ms is None else "compact,delete",
            retention_ms=retention_ms,
            purpose=f"changelog of the state table {table}",
            max_message_bytes=10 * MIB,
        )

    def __iter__(self) -> Iterator[Topic]:
        yield from (self.user_events, self.gps_events, self.urgent_events, self.event_claims)
        yield from (self.waiting_events, self.resumed_events)
        yield from (self.person_changes, self.reference_places, self.reference_vectors, self.reference_users)
        yield from self.all_changes
        yield from (self.cdc_offsets, self.cdc_signals)
        yield from self._writes.values()
        yield from self._deferred.values()
        yield from self._compensations.values()
        yield from (self.saga_starts, self.saga_receipts, self.saga_commands, self.saga_log, self.saga_alerts)
        yield from (self.claims, self.conflicts, self.conflict_commands)
        yield from (self.erasure_starts, self.erasure_ends, self.erasure_log, self.erasures)
        yield from (self.receipts, self.dead_letters, self.letter_actions, self.store_controls)
        tables = STATE_TABLES | CONFLICT_TABLES | ERASURE_TABLES
        yield from (self.changelog(table, retention_ms=retention) for table, retention in tables.items())
        yield from (
            self.changelog(table, retention_ms=retention, role="sagas") for table, retention in SAGA_TABLES.items()
        )
