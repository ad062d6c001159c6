"""What runs until SIGTERM or Ctrl-C."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import structlog
import typer

from connectors.sinks.errors import SinkError
from connectors.sinks.kinds import UnknownKind
from streams.cli.common import Exit, fail
from streams.runtime.web import PortTaken

log = structlog.get_logger(__name__)

PagesPort = Annotated[
    int | None,
    typer.Option("--port", help="Serve /metrics, /live and /ready there; by default nowhere.", min=0, max=65_535),
]


def told_to_stop() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set from now on."""
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


@contextmanager
def until_told(*fatal: type[Exception]) -> Generator[threading.Event]:
    """Yield that event; leave with FAILED or USAGE when a port, a store or its driver cannot be had.

    Args:
        fatal: other errors after which it cannot go on; their messages say why.
    """
    try:
        yield told_to_stop()
    except PortTaken as error:
        fail(f"{error}; set worker.host (TRAVELOS_WORKER_HOST) or give another --port")
    except UnknownKind as error:
        fail(str(error), Exit.USAGE)
    except (SinkError, *fatal) as error:
        fail(str(error))
