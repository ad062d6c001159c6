"""The demo from beginning to end: servers, roles, a world that happens, questions, and a reconciliation."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec import Struct

from connectors.embedders import image_embedder, text_embedder
from connectors.kafka.admin import TopicAdmin
from connectors.producers.producer import EventProducer
from connectors.sinks.embedded import EmbeddedReaders
from schemas.events import GpsUpdate
from streams.app import group_of
from streams.demo.database import create_tables, load_rows
from streams.demo.feed import Feed, wal_position
from streams.demo.ledger import Ledger
from streams.demo.progress import Gauge, Sample
from streams.demo.questions import Answer, ask
from streams.demo.tables import load_places, load_restaurants
from streams.demo.verdict import Verdict, judge
from streams.demo.world import World, generate
from streams.platform import Platform
from streams.roles import pipeline
from streams.settings import Options
from streams.supervisor import Supervisor

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 0.5
MOST_RESTARTS = 5


class DemoFailed(RuntimeError):  # noqa: N818 - reads as a statement
    """The demo could not be carried through; the message says what to look at."""


class Outcome(Struct, frozen=True):
    """What a demo came to. `seconds` by phase."""

    world: World
    answers: list[Answer]
    verdict: Verdict
    seconds: dict[str, float]


class Demo:
    """One run of the demo on a platform that is not started yet.

    Args:
        platform: Kafka and Postgres.
        count: records that enter, about.
        seed: the same seed and time give the same world.
        fixes: GPS fixes of the user's own instead of generated journeys.
        show: called with each sample.
        timeout: seconds after which a pipeline that does not settle is given up on.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        count: int,
        seed: int,
        fixes: Iterable[GpsUpdate] | None,
        show: Callable[[Sample], None],
        timeout: float,
    ) -> None:
        self._platform = platform
        self._count = count
        self._seed = seed
        self._fixes = fixes
        self._show = show
        self._timeout = timeout
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    def run(self) -> Outcome:
        """Carry the demo through; whatever was started is stopped again, the stores stay.

        Raises:
            DemoFailed: a role keeps ending, or nothing moves any more.
            ServerFailed: Kafka or Postgres did not come up.
        """
        with ExitStack() as stack:
            stack.callback(self._platform.stop)
            with ThreadPoolExecutor(1) as pool:
                generated = pool.submit(self._world)
                self._platform.start()
                world = generated.result()
            options = self._platform.loaded.options
            self._prepare(options, world)
            self._lap("start")
            supervisor = Supervisor(pipeline(options, self._platform.environment))
            stack.callback(supervisor.stop)
            supervisor.start()
            ledger = Ledger()
            self._happen(options, world, ledger, supervisor)
            self._lap("pipeline")
            supervisor.stop()
            self._lap("stop")
            answers = self._ask(options, world)
            self._lap("questions")
            verdict = judge(options, ledger.records(), world.faults)
            self._lap("reconcile")
        return Outcome(world, answers, verdict, self._seconds)

    def _world(self) -> World:
        restaurants, places = load_restaurants(), load_places()
        return generate(
            seed=self._seed,
            now=datetime.now(UTC),
            count=self._count,
            restaurants=restaurants.rows,
            places=places.rows,
            fixes=self._fixes,
        )

    def _prepare(self, options: Options, world: World) -> None:
        dsn = options.source.dsn.get_secret_value()
        create_tables(dsn)
        for table, rows in world.tables.items():
            load_rows(dsn, table, rows)
        admin = TopicAdmin(options.kafka.connection(), replication=options.kafka.replication)
        admin.apply(admin.plan(options.catalogue()))

    def _happen(self, options: Options, world: World, ledger: Ledger, supervisor: Supervisor) -> None:
        """Let the world happen and return when all of it has arrived."""
        with ExitStack() as stack:
            gauge = Gauge(
                connection=options.kafka.connection(),
                catalogue=options.catalogue(),
                groups=(group_of("ingest", options), group_of("deliver", options)),
                sagas=group_of("sagas", options) if options.sagas.enabled else None,
                readers=readers_of(options),
                source_dsn=options.source.dsn.get_secret_value(),
                slot=options.source.slot,
            )
            stack.callback(gauge.close)
            producer = stack.enter_context(
                EventProducer(
                    options.kafka.connection(), options.catalogue(), source="/travelos/demo", on_delivery=ledger.note
                )
            )
            dsn = options.source.dsn.get_secret_value()
            feed = Feed(world, producer, options.catalogue(), source_dsn=dsn, slot=options.source.slot)
            stack.callback(feed.stop)
            feed.start()
            self._follow(feed, gauge, ledger, supervisor, options)

    def _follow(self, feed: Feed, gauge: Gauge, ledger: Ledger, supervisor: Supervisor, options: Options) -> None:
        deadline = time.monotonic() + self._timeout
        end: str | None = None
        while True:
            if end is None and feed.finished:
                end = wal_position(options.source.dsn.get_secret_value())
                self._lap("feed")
            sample = gauge.sample(published=len(ledger), changes=feed.changes_made, wal_position=end)
            self._show(sample)
            if end is not None and sample.settled:
                return
            supervisor.check()
            for role in supervisor.roles:
                if role.restarts > MOST_RESTARTS:
                    raise DemoFailed(f"{role.name} keeps ending; see {role.log_file}:\n{role.last_lines()}")
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"not everything arrived within {self._timeout:.0f} s; see the logs in {options.data_dir}/run"
                )
            time.sleep(SAMPLE_SECONDS)  # between two looks; what ends the loop is what is seen

    def _ask(self, options: Options, world: World) -> list[Answer]:
        text = text_embedder(options.embed.text_model, 0)
        image = image_embedder(options.embed.image_model, 0)
        return ask(readers_of(options), text, image, world)

    def _lap(self, phase: str) -> None:
        now = time.monotonic()
        self._seconds[phase] = round(now - self._began, 2)
        self._began = now


def readers_of(options: Options) -> EmbeddedReaders:
    """Return the readers of the stores that the options name."""
    folder: Path = options.data_dir.resolve() / "stores"
    return EmbeddedReaders(folder, options.stores.relational.url.get_secret_value())
