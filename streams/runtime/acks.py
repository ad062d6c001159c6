"""How the streams of Faust tell that a message is done with."""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet


class InWork(WeakSet[Any]):
    """The messages that streams have begun and not acked.

    Faust's compiled streams do not call `Consumer.ack`, they write into its books themselves. Taking the message out of
    here is the one thing that they and `Consumer.ack` have in common.
    """

    def __init__(self, release: Callable[[Any], None]) -> None:
        super().__init__()
        self._release = release

    def discard(self, item: Any) -> None:
        """Take out a message that was acked, and tell."""
        super().discard(item)
        self._release(item)


class KeepsNothing(set[int]):
    """The index of Faust's own books, which nobody reads here: it would grow for ever."""

    def add(self, element: int, /) -> None:
        """Forget it."""
