"""Which writes are put off while a store lags behind, and when. Pure."""

from schemas.headers import LOW_PRIORITY
from schemas.writes import BaseWrite, RelationalWrite
from streams.runtime.records import Record


class Shedding:
    """Whether low-priority writes are put off: from a lag over the limit until it is below half of it.

    Args:
        limit: in records; 0: never.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.active = False

    def note(self, lag: int) -> bool:
        """Take the present lag; return whether anything changed."""
        was = self.active
        self.active = self._limit > 0 and lag > (self._limit // 2 if was else self._limit)
        return self.active != was


def may_wait(record: Record, write: BaseWrite) -> bool:
    """Whether a write may be put off: it has low priority, and is neither a delete nor asks for an erasure."""
    if write.op == "delete" or (isinstance(write, RelationalWrite) and write.table == "erasure_requests"):
        return False
    return LOW_PRIORITY in record.headers
