"""How far Postgres may forget: the lowest transaction whose records Kafka has not all acknowledged.

Pure bookkeeping; it knows neither Kafka nor Postgres.
"""

from collections import deque


class Transaction:
    """What of one transaction is on its way: receipts of records that it awaits, or rows of a snapshot."""

    __slots__ = ("_awaited", "_end_lsn", "is_marker")

    def __init__(self, *, is_marker: bool = False) -> None:
        self.is_marker = is_marker
        self._awaited = 0
        self._end_lsn: int | None = None

    def awaits(self, count: int = 1) -> None:
        """Note that so much more has to be acknowledged; before any of it can be."""
        self._awaited += count

    def acknowledged(self, count: int = 1) -> None:
        """Note that the brokers have so much of it."""
        self._awaited -= count

    def committed(self, end_lsn: int) -> None:
        """Note that all records were handed over, and where in the WAL the transaction ends."""
        self._end_lsn = end_lsn

    @property
    def end_lsn(self) -> int:
        """Where the transaction ends; 0 as long as nobody knows."""
        return self._end_lsn or 0

    @property
    def finished(self) -> bool:
        """Whether all of its records were sent and acknowledged."""
        return self._end_lsn is not None and self._awaited == 0


class Acknowledgements:
    """The transactions of one stream, in the order of their commits.

    `confirmed` is where streaming can go on after a crash without losing anything: everything that ends there or
    before has been acknowledged. `position` is up to where everything has been handed to the producer. Neither moves
    backwards.

    Args:
        start: where the stream starts.
        last_commit: end of the last transaction before it, None when there is none.
    """

    def __init__(self, start: int, last_commit: int | None = None) -> None:
        self._confirmed = start
        self._last_commit = last_commit
        self._committed: deque[Transaction] = deque()
        self._is_open = False
        self.position = start

    def begin(self) -> Transaction:
        """Open a transaction; it ends with `commit`. One is open at a time."""
        self._is_open = True
        return Transaction()

    def commit(self, transaction: Transaction, end_lsn: int) -> None:
        """Close a transaction: all its records have been handed to the producer."""
        self._is_open = False
        transaction.committed(end_lsn)
        self._committed.append(transaction)
        self.position = max(self.position, end_lsn)

    def aside(self, lsn: int) -> Transaction:
        """Return what waits for records that belong to no transaction and come from `lsn` in the WAL."""
        aside = Transaction(is_marker=True)
        aside.committed(lsn)
        self._committed.append(aside)
        return aside

    def reached(self, lsn: int) -> None:
        """Note that the server has nothing for us before `lsn` but what it has sent.

        So WAL that holds nothing of ours is let go too. Ignored while a transaction is open: then it says nothing about
        the rest of that one.
        """
        if not self._is_open:
            marker = Transaction(is_marker=True)
            marker.committed(lsn)
            self._committed.append(marker)
            self.position = max(self.position, lsn)

    @property
    def confirmed(self) -> int:
        """The LSN up to which everything is done."""
        self._advance()
        return self._confirmed

    @property
    def last_commit(self) -> int | None:
        """The end of the last transaction that ends at or before `confirmed`."""
        self._advance()
        return self._last_commit

    @property
    def pending(self) -> bool:
        """Whether a transaction is open or some record is not acknowledged."""
        self._advance()
        return self._is_open or bool(self._committed)

    def _advance(self) -> None:
        while self._committed and self._committed[0].finished:
            done = self._committed.popleft()
            self._confirmed = max(self._confirmed, done.end_lsn)
            if not done.is_marker:
                self._last_commit = done.end_lsn
