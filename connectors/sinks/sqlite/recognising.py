"""Sinks that recognise what they took: all they store lies in the file, beside its version."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from connectors.sinks.sqlite.errors import interpreted
from connectors.sinks.sqlite.sink import SQLiteSink
from connectors.sinks.undo import undone_to_nothing
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)


class RecognisingSink(SQLiteSink[W], Generic[W]):
    """A sink that stores nothing but rows: a write and its version become durable in one transaction."""

    def own(self, writes: Sequence[W]) -> list[W | None]:
        """Return what takes back the writes that the file holds; see `connectors.sinks.contract.Recognising`."""
        with interpreted(self.path), self.snapshot() as connection:
            return [
                undone_to_nothing(write, self.names) if self.held_version(connection, write) == write.version else None
                for write in writes
            ]
