"""The Faust apps of the project, one for each role.

`travelos worker ROLE` runs one of them; so does `faust -A streams.app worker`, with the role in TRAVELOS_ROLE
(ingest by default) and the options from `travelos.toml` and TRAVELOS_* as everywhere.
"""

import asyncio
import os
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import structlog

from connectors.embedders import image_embedder, text_embedder
from connectors.large_values import LargeValues
from connectors.registry import unframer
from schemas.changes import Change
from schemas.clock import HybridClock
from schemas.reference import Place, WaitingEvent
from schemas.sagas import SagaEntry
from schemas.state_tables import CONFLICT_TABLES, ERASURE_TABLES, SAGA_TABLES, STATE_TABLES
from schemas.topics import Catalogue
from schemas.wire import Unframe
from schemas.writes import STORES
from streams.agents.changes import ChangePass
from streams.agents.embed import Embedders
from streams.agents.erasures import ErasureRoom
from streams.agents.events import EventPass
from streams.agents.ingest import COMPONENT, Ingest, Reference, Tables
from streams.agents.intake import IntakeRules
from streams.agents.person_changes import PersonChangePass
from streams.agents.reconcile import Reconciler
from streams.agents.reconcile import Tables as ConflictTables
from streams.agents.sagas import Coordinator
from streams.agents.sagas import Tables as SagaTables
from streams.agents.sealing import Sealing
from streams.agents.similar import SimilarityRoom
from streams.agents.waiting import ResumedPass, WaitingRoom
from streams.conflicts.known import Known, Tally
from streams.conflicts.load import rules_of
from streams.conflicts.metrics import ConflictMetrics
from streams.conflicts.rules import Rules
from streams.deadletters import dead_letter, publish_with_letters
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.controls import Controls
from streams.delivery.delivery import Delivery
from streams.delivery.metrics import DeliveryMetrics
from streams.delivery.opening import Opening
from streams.embed_metrics import register_embedders
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState
from streams.erasure.metrics import HoldMetrics
from streams.key_metrics import register_keys
from streams.keys import keys_of
from streams.object_storage import large_values_of
from streams.reference.reader import ReferenceReader
from streams.routing.sensitive import SensitiveColumns
from streams.runtime.agents import SetAside
from streams.runtime.app import StreamApp
from streams.runtime.producer import partition_of
from streams.runtime.records import Record
from streams.runtime.state_folder import StateFolder
from streams.sagas.kinds import Kinds
from streams.sagas.line import Line
from streams.sagas.load import kinds_of
from streams.sagas.metrics import SagaMetrics
from streams.settings import Options, load
from streams.stores import plan_of, sinks_of

log = structlog.get_logger(__name__)

Role = Literal["ingest", "deliver", "sagas"]

GIVE_UP_EVERY_SECONDS = 5.0
LAG_EVERY_SECONDS = 1.0
SIMILAR_EVERY_SECONDS = 1.0
ENTITIES_COUNTED_EVERY_SECONDS = 2.0
HELD_COUNTED_EVERY_SECONDS = 10.0
SAGA_TIMER_SECONDS = 0.2  # what is due is done within a second
SAGAS_TOLD_AGAIN_EVERY_SECONDS = 3_600.0
# Before more sagas begin, those that have begun go on: of a backlog that began at once the receipts came too late for
# the patience of their steps, and all was sent again, and again. Fewer than these come and go at a steady rate.
RECEIPTS_MAY_WAIT = 500


def build(role: Role, options: Options) -> StreamApp:
    """Return the app of a role. Nothing is connected before it is started."""
    apps = {"ingest": _ingest_app, "deliver": _deliver_app, "sagas": _sagas_app}
    return apps[role](options)


def group_of(role: Role, options: Options) -> str:
    """Return the consumer group of a role."""
    return f"{options.kafka.topic_prefix}travelos-{role}"


def _new_app(role: Role, options: Options, *, urgent_may_wait: int = 0) -> StreamApp:
    folder = StateFolder(options.data_dir.resolve() / "state" / f"{options.kafka.topic_prefix}{role}")
    return StreamApp(
        group_of(role, options),
        options.kafka.connection(),
        state_folder=folder,
        partitions=options.kafka.partitions,
        patience=options.worker.patience_seconds,
        fetch_interval=options.worker.fetch_interval_ms / 1_000,
        dead_letters=options.catalogue().dead_letters.name,
        # An event of ours takes ten times as long as most agents need: an urgent one should not wait for 2,000.
        broker_max_poll_records=1_000,
        # Of each partition a fetch is kept ahead, also while a store is away and its partitions are paused: with 4 MiB
        # the memory of a worker took a step of 16 MiB in an outage. This is two polls of writes.
        consumer_max_fetch_size=1024 * 1024,
        urgent_may_wait=urgent_may_wait,
    )


def _ingest_app(options: Options) -> StreamApp:
    app, catalogue = _new_app("ingest", options), options.catalogue()
    large_values = large_values_of(options)
    app.at_end(large_values.close)
    sealing = _sealing(app, options)
    if sealing is not None:
        app.at_end(sealing.close)
    reference = Reference(PlaceIndex(options.enrich.nearest_place_metres), {})
    ingest = Ingest(
        catalogue=catalogue,
        publisher=app.publisher,
        transactions=app.transactions,
        tables=_tables(app, catalogue, options),
        reference=reference,
        embedders=_embedders(app, options),
        unframe=registry(options, large_values),
        intake=intake_rules(options),
        gps=gps_rules(options),
        place_wait_ms=int(options.enrich.place_wait_seconds * 1_000),
        erasure=options.erasure.policy if options.erasure.enabled else None,
        holds=HoldMetrics(app.metrics.registry) if options.erasure.enabled else None,
        kinds=kinds_of(options.sagas.declared) if options.sagas.enabled else None,
        rules=rules_of(options.conflicts),
        sealing=sealing,
    )

    async def set_aside(record: Record, error: Exception) -> None:
        letter = dead_letter(catalogue, record, component=COMPONENT, stage="process", error=error, foreseen=False)
        await publish_with_letters(app.publisher, catalogue, [letter])

    events, urgent = EventPass(ingest, "normal"), EventPass(ingest, "urgent")
    room = WaitingRoom(ingest)
    app.runs([catalogue.urgent_events.name], urgent.process, set_aside, name="urgent-events", urgent=True)
    app.runs([catalogue.user_events.name], events.process, set_aside, name="user-events")
    app.runs([catalogue.gps_events.name], events.process, set_aside, name="gps-events")
    app.runs([one.name for one in catalogue.all_changes], ChangePass(ingest).process, set_aside, name="changes")
    app.runs([catalogue.waiting_events.name], room.wait, set_aside, name="waiting-events")
    app.runs([catalogue.reference_places.name], room.arrive, set_aside, name="arriving-places")
    app.runs([catalogue.resumed_events.name], ResumedPass(ingest).process, set_aside, name="resumed-events")

    if ingest.erasure is not None:
        ends = ErasureRoom(ingest, ingest.erasure)
        app.runs([catalogue.erasure_ends.name], ends.end, set_aside, name="ends-of-erasures")
        rows = PersonChangePass(ingest, ingest.erasure)
        app.runs([catalogue.person_changes.name], rows.process, set_aside, name="changes-of-persons")
        app.every(HELD_COUNTED_EVERY_SECONDS, lambda: ends.count(app.owned(catalogue.erasure_ends.name)))

    async def give_up_waiting() -> None:
        await room.give_up(app.owned(catalogue.waiting_events.name), time.time_ns() // 1_000_000)

    app.every(GIVE_UP_EVERY_SECONDS, give_up_waiting)
    for topic, apply in (
        (catalogue.reference_places, reference.apply_places),
        (catalogue.reference_users, reference.apply_profiles),
    ):
        app.follow(ReferenceReader(options.kafka.connection(), topic, apply))
    if options.enrich.similar_places:
        _keep_similar(app, ingest, options)
    else:
        app.follow(ReferenceReader(options.kafka.connection(), catalogue.reference_vectors, reference.apply_vectors))
    if ingest.rules is not None:
        _settle_conflicts(app, ingest, ingest.rules, set_aside)
    return app


def _embedders(app: StreamApp, options: Options) -> Embedders:
    texts = text_embedder(options.embed.text_model, options.embed.cache_entries)
    images = image_embedder(options.embed.image_model, options.embed.cache_entries)
    embedders = Embedders(texts, images)
    register_embedders(embedders, texts, images, app.metrics.registry)
    return embedders


def _keep_similar(app: StreamApp, ingest: Ingest, options: Options) -> None:
    catalogue = ingest.catalogue
    in_partition = partial(partition_of, partitions=catalogue.reference_places.partitions)
    room = SimilarityRoom(ingest, options.enrich.similar_places, in_partition, HybridClock())
    reader = ReferenceReader(
        options.kafka.connection(),
        catalogue.reference_vectors,
        lambda pairs: room.apply(ingest.reference.apply_vectors(pairs)),
    )
    app.follow(reader)

    async def publish_similar() -> None:
        if reader.ready.is_set():
            await room.publish(app.owned(catalogue.reference_places.name))

    app.every(SIMILAR_EVERY_SECONDS, publish_similar)


def _settle_conflicts(app: StreamApp, ingest: Ingest, rules: Rules, set_aside: SetAside) -> None:
    catalogue = ingest.catalogue
    changelogs = {
        table: catalogue.changelog(table, retention_ms=retention).name for table, retention in CONFLICT_TABLES.items()
    }
    tables = ConflictTables(
        entities=app.state("entities", Known, changelog=changelogs["entities"]),
        tallies=app.state("tallies", Tally, changelog=changelogs["tallies"]),
    )
    metrics = ConflictMetrics(app.metrics.registry)
    reconciler = Reconciler(ingest, rules, tables, metrics, lambda: time.time_ns() // 1_000_000)
    app.runs([catalogue.claims.name], reconciler.process, set_aside, name="of-claims")
    app.runs([catalogue.conflict_commands.name], reconciler.process, set_aside, name="of-decisions")
    app.every(ENTITIES_COUNTED_EVERY_SECONDS, lambda: reconciler.count(app.owned(catalogue.claims.name)))


def _sealing(app: StreamApp, options: Options) -> Sealing | None:
    keys = keys_of(options)
    if keys is None:
        return None
    register_keys(keys, app.metrics.registry)
    return Sealing(keys, SensitiveColumns(options.keys.columns), everything=options.keys.seals == "everything")


def registry(options: Options, large_values: LargeValues) -> Unframe:
    """Return what redeems claims to large values, and takes values out of a Schema Registry's frames."""
    password = options.registry.password.get_secret_value()
    return large_values.redeeming(unframer(options.registry.url, options.registry.username, password))


def intake_rules(options: Options) -> IntakeRules:
    """Return what intake accepts."""
    return IntakeRules(
        dedupe_window=timedelta(hours=options.intake.dedupe_hours),
        max_value_bytes=options.intake.max_value_bytes,
        max_future=timedelta(hours=options.intake.max_future_hours),
    )


def gps_rules(options: Options) -> GpsRules:
    """Return the limits of GPS enrichment."""
    return GpsRules(
        h3_resolution=options.enrich.h3_resolution,
        jump_kmh=options.enrich.jump_kmh,
        stay_metres=options.enrich.stay_metres,
        stay_minutes=options.enrich.stay_minutes,
        gap_minutes=options.enrich.gap_minutes,
    )


def _tables(app: StreamApp, catalogue: Catalogue, options: Options) -> Tables:
    def changelog(table: str) -> str:
        return catalogue.changelog(table, retention_ms=STATE_TABLES[table]).name

    window = int(options.intake.dedupe_hours * 3_600)
    held, held_rows = (catalogue.changelog(table, retention_ms=kept).name for table, kept in ERASURE_TABLES.items())
    erasing = options.erasure.enabled
    return Tables(
        seen=app.state("seen", int, changelog=changelog("seen"), ttl_seconds=window),
        travellers=app.state("travellers", TravellerState, changelog=changelog("travellers")),
        waiting=app.state("waiting", WaitingEvent, changelog=changelog("waiting")),
        arrived=app.state("arrived", Place, changelog=changelog("arrived")),
        held=app.state("held", WaitingEvent, changelog=held) if erasing else None,
        held_rows=app.state("held_rows", Change, changelog=held_rows) if erasing else None,
    )


def _deliver_app(options: Options) -> StreamApp:
    app, catalogue = _new_app("deliver", options), options.catalogue()
    policy = DeliveryPolicy(
        attempts=options.deliver.attempts,
        retry_seconds=options.deliver.retry_seconds,
        first_pause=options.deliver.backoff_seconds,
        longest_pause=options.deliver.backoff_max_seconds,
        breaker_failures=options.deliver.breaker_failures,
        breaker_pause=options.deliver.breaker_seconds,
        target_seconds=options.deliver.target_ms / 1_000,
    )
    metrics = DeliveryMetrics(app.metrics.registry)
    keys = keys_of(options)
    if keys is not None:
        app.at_end(keys.close)
        register_keys(keys, app.metrics.registry)
    kinds = kinds_of(options.sagas.declared) if options.sagas.enabled else None
    opening = Opening(keys, everything=options.keys.seals == "everything")
    deliveries = [
        Delivery(
            store,
            sinks_of(store, options),
            publisher=app.publisher,
            catalogue=catalogue,
            policy=policy,
            plan=plan_of(options.stores.of(store)),
            pauses=app.pauses,
            metrics=metrics,
            opening=opening,
            faults=app.faults,
        )
        for store in STORES
    ]
    for delivery in deliveries:
        _deliver_to(delivery, app, catalogue, kinds)

    async def note_lags() -> None:
        lags = Counter[str]()
        for partition in app.watch.snapshot().sample.partitions:
            lags[partition.topic] += partition.lag
        for delivery in deliveries:
            delivery.note_lag(sum(lags[topic] for topic in delivery.backlog))

    app.every(LAG_EVERY_SECONDS, note_lags)
    controls = Controls({delivery.store: delivery for delivery in deliveries})
    app.follow(ReferenceReader(options.kafka.connection(), catalogue.store_controls, controls.apply))
    return app


def _sagas_app(options: Options) -> StreamApp:
    app, catalogue = _new_app("sagas", options, urgent_may_wait=RECEIPTS_MAY_WAIT), options.catalogue()
    changelogs = {
        table: catalogue.changelog(table, retention_ms=retention, role="sagas").name
        for table, retention in SAGA_TABLES.items()
    }
    kept = int(options.sagas.keep_hours * 3_600)
    kinds = kinds_of(options.sagas.declared)
    lines = app.state("lines", Line, changelog=changelogs["lines"], reuses=True)
    coordinator = Coordinator(
        catalogue=catalogue,
        publisher=app.publisher,
        transactions=app.transactions,
        tables=SagaTables(
            lines=lines, ended=app.state("ended", SagaEntry, changelog=changelogs["ended"], ttl_seconds=kept)
        ),
        kinds=kinds,
        metrics=SagaMetrics(app.metrics.registry),
        now_ms=lambda: time.time_ns() // 1_000_000,
        ours=lambda: app.owned(catalogue.saga_starts.name),
    )

    async def set_aside(record: Record, error: Exception) -> None:
        letter = dead_letter(catalogue, record, component="sagas", stage="decide", error=error, foreseen=False)
        await publish_with_letters(app.publisher, catalogue, [letter])

    async def fire() -> None:
        while not app.should_stop:
            await coordinator.fire()
            await asyncio.sleep(SAGA_TIMER_SECONDS)  # a timer of Faust's warns whenever there is much to do

    app.runs([catalogue.saga_starts.name], coordinator.process, set_aside, name=f"of-{catalogue.saga_starts.name}")
    for name in (catalogue.saga_receipts.name, catalogue.saga_commands.name, *kinds.reply_topics):
        app.runs([name], coordinator.process, set_aside, name=f"of-{name}", urgent=True)
    lines.on_restored(lambda partition, _records, _reached: coordinator.overtaken(partition))
    app.background(fire)
    app.every(SAGAS_TOLD_AGAIN_EVERY_SECONDS, coordinator.tell_again)
    return app


def _deliver_to(delivery: Delivery, app: StreamApp, catalogue: Catalogue, kinds: Kinds | None) -> None:
    store = delivery.store
    if kinds is not None and not delivery.tells_undo and (steps := kinds.taken_back_in(store)):
        # Somebody would hear of it by a saga that is stuck, at night.
        log.warning("saga_steps_cannot_be_taken_back", store=store, steps=steps, fix="docs/write-a-sink.md, Undo")

    async def set_aside(record: Record, error: Exception) -> None:
        # There is no receipt of it: reading the write to tell of it might be what kills the process.
        letter = dead_letter(catalogue, record, component=f"deliver.{store}", stage="write", error=error, store=store)
        await publish_with_letters(app.publisher, catalogue, [letter])

    app.hand_over(
        [catalogue.writes(store, "urgent").name], delivery.accept, set_aside, name=f"{store}-urgent", urgent=True
    )
    app.hand_over([catalogue.writes(store).name], delivery.accept, set_aside, name=store)
    app.hand_over([catalogue.deferred(store).name], delivery.accept, set_aside, name=f"{store}-deferred")
    if kinds is not None:  # every topic that is read makes each fetch longer
        app.hand_over([catalogue.compensations(store).name], delivery.accept, set_aside, name=f"{store}-compensations")
    app.add_drain(delivery.drain)
    app.background(delivery.run)


def __getattr__(name: str) -> Any:
    # `faust -A streams.app` looks for `app`. Made when it is asked for: importing this module must not read options.
    if name == "app":
        role: Any = os.environ.get("TRAVELOS_ROLE", "ingest")
        globals()["app"] = build(role, load().options)
        return globals()["app"]
    raise AttributeError(name)
