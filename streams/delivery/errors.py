"""Why a write became a dead letter. The names of these classes are in its headers; `travelos dlq` filters by them."""

from connectors.sinks.contract import Rejected


class WriteRejected(RuntimeError):  # noqa: N818 - says what happened; so below
    """The store will never take the write."""


class WriteTooLarge(RuntimeError):  # noqa: N818
    """The store does not take the write even by itself."""


class RetriesExhausted(RuntimeError):  # noqa: N818
    """The store kept putting the write off."""


class SinkRaised(RuntimeError):  # noqa: N818
    """The sink raises on this write what no sink should raise."""


class ContentAltered(RuntimeError):  # noqa: N818
    """Its sealed content does not open with the key of its person."""


class Refused(Rejected, frozen=True):
    """A rejection that the framework came to by itself, with the class of the dead letter's error."""

    error: type[Exception] = WriteRejected
