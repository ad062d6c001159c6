"""Structured logs on standard error: a constant event name and fields."""

import logging
import sys
from typing import Literal

import structlog

CHATTY = (
    *("faust", "mode", "aiokafka", "asyncio", "kafka"),
    *("neo4j", "elastic_transport", "influxdb_client", "boto3", "botocore", "s3transfer", "urllib3", "redis"),
)
"""Libraries that are heard from `warning` on only."""


def configure_logging(level: str = "info", output: Literal["console", "json"] = "console") -> None:
    """Send our logs and those of the libraries, which use `logging`, through one formatter."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Not cached: a logger of a module would keep this configuration for as long as the process lives, and what is
        # configured later (a command in a test, whoever embeds us) would not reach it.
        cache_logger_on_first_use=False,
    )
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if output == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if output == "json" else []),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
