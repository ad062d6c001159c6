"""`travelos run`: the pipeline for good, on one machine."""

from typing import Annotated

import structlog
import typer

from deploy.local.process import ServerFailed
from streams.cli.common import ConfigFile, Exit, fail
from streams.cli.until_told import told_to_stop
from streams.cli.worker import prepare_topics
from streams.data_folder import FolderRefused
from streams.demo.database import fill_new_tables
from streams.log import configure_logging
from streams.platform import BadKafkaChoice, Platform
from streams.roles import pipeline
from streams.settings import SettingsError, load
from streams.supervisor import Supervisor

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0


def command(
    kafka: Annotated[
        str,
        typer.Option(
            help="auto, real, memory or HOST:PORT. auto: kafka.bootstrap if set, else a real one (needs java and mvn, "
            "or Docker), else one in memory."
        ),
    ] = "auto",
    config: ConfigFile = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            help="Serve /metrics, /live and /ready of ingest there, of deliver, cdc, sagas, the archive and erasure "
            "on the next ones; instead of worker.port.",
            min=0,
            max=65_530,
        ),
    ] = None,
) -> None:
    """Run change capture, ingest and delivery together until told to stop (SIGTERM, Ctrl-C).

    Uses the Kafka, the Postgres and the stores that the options name, and embedded ones for those they do not; a new
    embedded Postgres begins with the restaurants and places of the demo. What ends unasked is started again. In a
    cluster run the roles themselves: `travelos cdc run`, `travelos worker ingest`, `travelos worker deliver`.

    Exit codes: 0 stopped in order, 1 Kafka or Postgres is not to be had, 2 wrong options.
    """
    try:
        loaded = load(file=config, overrides={"worker.port": port})
        platform = Platform(loaded, kafka=kafka, config_file=config)
    except (SettingsError, BadKafkaChoice) as error:
        fail(str(error), Exit.USAGE)
    configure_logging(loaded.options.log.level, loaded.options.log.format)
    stopping = told_to_stop()
    try:
        platform.start()
        options = platform.loaded.options
        if platform.owns_source:
            filled = fill_new_tables(options.source.dsn.get_secret_value())
            log.info("source_ready", new_tables=filled)
        prepare_topics(options)
        supervisor = Supervisor(pipeline(options, platform.environment, first_port=loaded.options.worker.port))
        try:
            supervisor.start()
            roles = [one.name for one in supervisor.roles]
            where = {"data_dir": str(options.data_dir), "logs": str(options.data_dir / "run")}
            log.info("pipeline_running", roles=roles, options=f". {platform.env_file}", **where)
            while not stopping.wait(CHECK_SECONDS):
                platform.check()
                supervisor.check()
        finally:
            supervisor.stop()
    except (ServerFailed, FolderRefused) as error:
        fail(str(error))
    finally:
        platform.stop()
