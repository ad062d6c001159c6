"""`travelos worker`: one process of one role."""

from typing import Annotated

import faust
import mode.loop
import structlog
import typer

from connectors.embedders import ModelUnavailable
from connectors.kafka.admin import ensure_topics
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from streams.app import Role, build
from streams.cli.common import ConfigFile, Exit, fail, load_options
from streams.settings import Options

log = structlog.get_logger(__name__)


def command(
    role: Annotated[
        Role,
        typer.Argument(help="ingest: events and changes to writes. deliver: writes to stores.", show_default=False),
    ],
    config: ConfigFile = None,
    bootstrap: Annotated[
        str | None, typer.Option("--bootstrap", help="Brokers instead of kafka.bootstrap.", metavar="HOST:PORT")
    ] = None,
) -> None:
    """Run one worker of a role until it is told to stop (SIGTERM, Ctrl-C).

    Start as many as you like, on any machines: they share the partitions. Each keeps its state in a folder of its own
    under `data_dir`, and finds it again when it is restarted.

    Exit codes: 0 stopped in order, 1 Kafka or a model is not to be had, 2 wrong options.
    """
    options = load_options(config, kafka__bootstrap=bootstrap)
    if not options.kafka.bootstrap:
        fail("no brokers are named: set kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP) or give --bootstrap", Exit.USAGE)
    prepare_topics(options)
    mode.loop.use("uvloop")
    try:
        app = build(role, options)
    except (ModelUnavailable, ImportError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"data_dir {options.data_dir.resolve()} cannot be used: {error.strerror}")
    log.info("worker_starting", role=role, bootstrap=options.kafka.bootstrap, state=str(app.state_folder.path))
    worker = faust.Worker(app, quiet=True, redirect_stdouts=False, override_logging=False, loglevel=options.log.level)
    worker.spinner = None  # it writes escape sequences into logs
    worker.execute_from_commandline()


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
