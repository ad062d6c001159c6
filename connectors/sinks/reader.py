"""What the readers of the embedded stores have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

Row = dict[str, Any]


class QueryRefused(ValueError):  # noqa: N818 - says what became of the query
    """The store does not understand a query, or it is no query; the message is the store's own."""


class Reader(ABC):
    """A store opened for reading, by any process, also while it is being written. One thread at a time.

    The constructor does no I/O. `with` opens and closes.
    """

    @abstractmethod
    def open(self) -> None:
        """Open the store.

        Raises:
            Unavailable: it does not answer, or nothing has been written yet.
            Fatal: it is something else, or refuses us.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the store; may be called twice."""

    @abstractmethod
    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of any SELECT in the store's own SQL, by column name, as of the moment it begins.

        Raises:
            QueryRefused: the store does not understand it, or it would change something.
            Unavailable: the store does not answer.
        """

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
