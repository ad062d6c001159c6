"""Settings of all tests."""

import structlog
from hypothesis import settings

# A shared machine pauses for longer than any deadline that would mean something.
settings.register_profile("travelos", deadline=None)
settings.load_profile("travelos")

# Without this, structlog renders every exception with the values of all local variables, for some 50 ms each.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
