"""What is asked of an object store: names, whole objects, and writes with a condition."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class LostRace(Exception):  # noqa: N818 - says what has happened
    """Under the name lies something, or something else than was looked at; nothing was written."""


class Found(NamedTuple):
    """An object and what its next writer's condition names."""

    data: bytes
    token: str


class Storage(Protocol):
    """Objects under names with slashes. Its methods may be called from several threads after `open`.

    Each may raise `connectors.sinks.errors.Unavailable` when the store does not answer, and `Fatal` when it never will.
    """

    def open(self) -> None:
        """Connect, and make what is missing. May be called again."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the objects that begin like this, in no order that counts."""
        ...

    def get(self, path: str) -> Found | None:
        """Return an object; None when there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is an object under this name."""
        ...

    def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
        """Write an object whole, where `over` lies (its token; None: nothing), and return its token.

        When this returns the object survives a power failure.

        Raises:
            LostRace: something else lies there.
        """
        ...

    def remove(self, paths: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...
