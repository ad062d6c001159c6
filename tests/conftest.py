"""Settings of all tests."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from streams.log import CHATTY

# A shared machine pauses for longer than any deadline that would mean something. Unit tests of somebody at work take
# a minute with so many examples of each property; CI looks at three times as many.
settings.register_profile("at_work", deadline=None, max_examples=30)
settings.register_profile("in_ci", deadline=None, max_examples=100)
settings.load_profile("in_ci" if os.environ.get("CI") == "true" else "at_work")

# Without this, structlog renders every exception with the values of all local variables, for some 50 ms each.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs in this process sends all logs to a standard error that is closed after it."""
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.configure(**configuration)
