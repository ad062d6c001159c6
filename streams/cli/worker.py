"""`travelos worker`: one process of one role."""

from typing import Annotated

import faust
import mode.loop
import structlog
import typer

from connectors.embedders import ModelUnavailable
from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.sinks.errors import Fatal, Unavailable
from streams.app import Role, build
from streams.cli.common import ConfigFile, Exit, fail, load_options
from streams.cli.garbage import collect_less
from streams.cli.threads import give_way_sooner
from streams.keys import keys_of
from streams.runtime.web import PortTaken, listen
from streams.sagas.definition import InvalidDefinition
from streams.sagas.load import SagasNotFound
from streams.settings import Options

log = structlog.get_logger(__name__)


def command(
    role: Annotated[
        Role,
        typer.Argument(
            help="ingest: events and changes to writes. deliver: writes to stores. sagas: all or none.",
            show_default=False,
        ),
    ],
    config: ConfigFile = None,
    bootstrap: Annotated[
        str | None, typer.Option("--bootstrap", help="Brokers instead of kafka.bootstrap.", metavar="HOST:PORT")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="Serve /metrics, /live and /ready there, instead of worker.port.", min=0, max=65_535
        ),
    ] = None,
) -> None:
    """Run one worker of a role until it is told to stop (SIGTERM, Ctrl-C).

    Start as many as you like, on any machines: they share the partitions. Each keeps its state in a folder of its own
    under `data_dir`, and finds it again when it is restarted.

    Exit codes: 0 stopped in order, 1 Kafka, a model or the port is not to be had, 2 wrong options.
    """
    options = load_options(config, kafka__bootstrap=bootstrap, worker__port=port)
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP) or give --bootstrap", Exit.USAGE)
    try:
        listener = listen(options.worker.host, options.worker.port) if options.worker.port else None
    except PortTaken as error:
        fail(f"{error}; set worker.host and worker.port (TRAVELOS_WORKER_PORT) or give --port")
    prepare_topics(options)
    mode.loop.use("uvloop")
    try:
        app = build(role, options)
    except (ModelUnavailable, ImportError, SagasNotFound, InvalidDefinition) as error:
        fail(str(error))
    except OSError as error:
        fail(f"data_dir {options.data_dir.resolve()} cannot be used: {error.strerror}")
    if role == "ingest":
        prepare_keys(options)
    if listener is not None:
        app.serve(listener)
    log.info(
        "worker_starting",
        role=role,
        bootstrap=options.kafka.bootstrap,
        state=str(app.state_folder.path),
        pages=f"http://{options.worker.host}:{options.worker.port}" if listener is not None else None,
    )
    collect_less()
    give_way_sooner()
    worker = faust.Worker(app, quiet=True, redirect_stdouts=False, override_logging=False, loglevel=options.log.level)
    worker.spinner = None  # it writes escape sequences into logs
    worker.execute_from_commandline()


def prepare_keys(options: Options) -> None:
    """See to it that users' keys can be had, and leave with FAILED when somebody has to change something for that."""
    if not options.keys.store:
        log.warning("sensitive_fields_stay_plain", fix="set keys.store (TRAVELOS_KEYS_STORE)")
    try:
        keys = keys_of(options)
        if keys is not None:
            keys.open()
            keys.close()
    except Unavailable as error:
        log.warning("keys_not_available", error=str(error))  # events with sensitive fields wait for them
    except Fatal as error:
        fail(str(error))


def prepare_topics(options: Options) -> None:
    """Create the topics that are missing, if that is ours to do.

    Leaves with FAILED when it cannot be done, or when a topic has another number of partitions: state would then lie in
    other partitions than the records that change it.
    """
    if not options.kafka.create_topics:
        return
    try:
        ensure_topics(options.kafka.connection(), options.catalogue(), replication=options.kafka.replication)
    except (TopicsError, KafkaUnavailable) as error:
        fail(str(error))
