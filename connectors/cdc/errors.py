"""What can go wrong between Postgres and Kafka. A closed set: the source has one reaction to each of the two kinds.

Messages are one line, name the option and what mends it, and never hold a password or a value of a row.
"""


class CdcError(Exception):
    """Base of the errors of this package."""


class Disconnected(CdcError):  # noqa: N818 - reads as a state, which it is
    """Postgres or Kafka is away, or has no room for us yet. The source tries again, for ever."""


class SlotBusy(Disconnected):
    """Another process streams from the slot; this one waits for its turn."""


class Fatal(CdcError):  # noqa: N818
    """Trying again cannot help until somebody changes something. The source ends."""


class Misconfigured(Fatal):
    """An option, a right or a table is not what it has to be."""


class MalformedMessage(Fatal):
    """Bytes that are no message of the replication protocol. Nothing is guessed from them."""


class UnreadableValue(Fatal):
    """The text of a column is not what its type prints; the message names table, column and type."""


class ColumnMissing(Fatal):
    """A query names a column that is not there: it was renamed or dropped since the catalogue was read."""


class KeyUnknown(Fatal):
    """The key of a changed row cannot be told."""


class KafkaRefused(Fatal):
    """The brokers will never take a record (too large, no such topic, no right)."""


class PositionLost(Fatal):
    """Streaming on from the last offset would leave out changes without a trace.

    The way out is always the same: a new snapshot, by hand or with `source.snapshot = "when_needed"`.
    """


class SlotMissing(PositionLost):
    """There is an offset, but the slot is gone."""


class SlotUnknown(PositionLost):
    """There is a slot, but no offset says how far it was read, nor that it is ours."""


class SlotLost(PositionLost):
    """The server has removed WAL that the slot still needed."""


class SlotAhead(PositionLost):
    """The slot has been advanced past our offset by somebody else."""


class PublicationMissing(PositionLost):
    """The publication was dropped, so the changes since then are not in the stream."""


class OtherServer(PositionLost):
    """The offset belongs to another server, or this one has been set back to an older state."""


class Stopped(Exception):  # noqa: N818
    """Somebody asked the source to stop while it waited for something. Ends the work; not an error."""
