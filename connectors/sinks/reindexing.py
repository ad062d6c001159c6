"""Sinks whose index can be made anew while it is read and written."""

from typing import Protocol, runtime_checkable

from msgspec import Struct


class Reindexed(Struct, frozen=True, kw_only=True):
    """What a reindex did."""

    old: str
    new: str
    documents: int  # copied, those that changed meanwhile more than once
    closed_seconds: float  # how long writers had to wait


@runtime_checkable
class Reindexing(Protocol):
    """A sink that can make its index anew, for options that an index takes when it is made. It need not be open."""

    def reindex(self, *, delete_old: bool = False) -> Reindexed:
        """Copy everything with its versions into a new index and let readers and writers use that.

        Args:
            delete_old: whether the old index is deleted once nobody uses it.

        Raises:
            Unavailable: the store does not answer, or takes more; the old index is in use as before.
            Fatal: there is nothing to copy, or it does not fit the new index; likewise.
        """
        ...
