"""Ctrl-C that ends the reading of input, and leaves what follows in order."""

import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any] | int | None


class StopOnInterrupt:
    """While this is open, the first Ctrl-C ends `until_stopped` between two items; a second one is KeyboardInterrupt.

    An exception at any instant could fall between a record that was accepted and the count of it. So the first Ctrl-C
    raises only where this process waits for input, and otherwise sets a flag.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._reading = False
        self._before: Handler = None

    def until_stopped(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; ends early when interrupted."""
        iterator = iter(items)
        try:
            while True:
                self._reading = True
                if self.stopped:
                    return
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                self._reading = False
                yield item
        except KeyboardInterrupt:
            if not self.stopped:
                raise
        finally:
            self._reading = False

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        again, self.stopped = self.stopped, True
        if again or self._reading:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)
