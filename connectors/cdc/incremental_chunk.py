"""A chunk of a table that is read beside the stream, on its way to Kafka."""

from connectors.cdc.acknowledgement import Transaction
from connectors.cdc.catalog import TableInfo
from connectors.cdc.chunks import chunk_key, places_of, row_key
from connectors.cdc.snapshot_sending import RowSender
from connectors.cdc.snapshot_state import Key, SnapshotState


class Chunk:
    """Rows of one table that were read together.

    Attributes:
        run: the run of the table that it belongs to.
        info: the table when it was read.
        sender: queues its records.
        transaction: its records on their way.
        rows: how many were read.
        bytes: of these rows.
        after: key of its last row; None when it has none.
        is_last: nothing of the table is left behind it.
    """

    def __init__(self, run: int, info: TableInfo, sender: RowSender) -> None:
        self.run = run
        self.info = info
        self.sender = sender
        self.places = places_of(chunk_key(info), info)
        self.row_places = places_of(row_key(info), info)
        self.transaction = Transaction(is_marker=True)
        self.rows = 0
        self.bytes = 0
        self.after: Key | None = None
        self.is_last = False


def progress(state: SnapshotState, chunk: Chunk) -> SnapshotState:
    """Return the state once a chunk is done."""
    if chunk.is_last:
        return state.finished(chunk.run)
    assert chunk.after is not None
    return state.progressed(chunk.run, chunk.after, chunk.rows)
