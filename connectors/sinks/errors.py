"""What can go wrong with a whole batch. A closed set: the framework has one reaction to each.

What goes wrong with a single write is no exception but an outcome (`connectors.sinks.contract`).
"""


class SinkError(Exception):
    """Base of the errors a sink may raise. The message never holds a secret."""


class Unavailable(SinkError):  # noqa: N818 - reads as a state, which it is
    """The store does not answer, or asks to be left alone for `after` seconds. Retried, and counted by the breaker."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class BatchTooLarge(SinkError):  # noqa: N818
    """The store takes less at once. The framework halves the batch."""


class Fatal(SinkError):  # noqa: N818
    """Retrying cannot help until somebody changes something; the message names the option and the fix."""
