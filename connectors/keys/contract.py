"""What is asked of a store of users' keys: many at once, and to forget for good."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class StoredKey(Struct, frozen=True, kw_only=True):
    """A user's data key as it is stored, or that it was destroyed.

    Attributes:
        user_id: whose it is.
        key_id: tells the keys of a user apart who started afresh; empty once it is destroyed.
        master: id of the master key that wrapped it; empty once it is destroyed.
        wrapped: the data key, encrypted by that master key; None once it is destroyed.
    """

    user_id: str
    key_id: str = ""
    master: str = ""
    wrapped: bytes | None = None

    @property
    def destroyed(self) -> bool:
        """Whether only the mark is left that there shall be no key."""
        return self.wrapped is None


class KeyStore(Protocol):
    """Wrapped data keys by user. Not for several threads at once; several processes may share one.

    Each method may raise `connectors.sinks.errors.Unavailable` when the store does not answer, and `Fatal` when it
    never will; what has returned survives a power failure.
    """

    def open(self) -> None:
        """Connect, and make what is missing. May be called again."""
        ...

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        """Return what is held of these users: keys, and marks of destroyed ones. Others are not in it."""
        ...

    def add(self, keys: Sequence[StoredKey]) -> dict[str, StoredKey]:
        """Take in keys of users who have none, and return what is held of all of them now.

        Who came first stays: a key that is there, and the mark of a destroyed one.
        """
        ...

    def destroy(self, user_ids: Sequence[str]) -> None:
        """Put a mark in place of the keys, also for users who had none. May be repeated.

        When this returns, the wrapped keys are in none of the store's files.
        """
        ...

    def start_afresh(self, user_ids: Sequence[str]) -> None:
        """Remove the marks of destroyed keys, so that these users may get new ones; keys are left alone."""
        ...

    def page(self, after: str, limit: int) -> list[StoredKey]:
        """Return up to `limit` keys of users behind `after`, in order; marks are left out."""
        ...

    def rewrap(self, keys: Sequence[StoredKey]) -> int:
        """Replace how keys are wrapped, and return how many were; keys that are gone or others by now stay so."""
        ...

    def masters(self) -> frozenset[str]:
        """Return the ids of all master keys that some key is wrapped by."""
        ...

    def empty(self) -> bool:
        """Whether there is neither a key nor a mark."""
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...
