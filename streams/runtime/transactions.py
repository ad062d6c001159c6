"""Transactions: what one batch of records does to the tables of one partition, all of it or nothing."""

import asyncio
from typing import Any, Protocol, TypeVar

from streams.runtime.entries import DELETED, Changes
from streams.runtime.faults import FaultPoints
from streams.runtime.publisher import Outgoing, Publisher

W_co = TypeVar("W_co", bound="View", covariant=True)
W = TypeVar("W", bound="View")


class View(Protocol):
    """One partition of a table inside a transaction."""

    def changes(self) -> Changes:
        """Return what is to be committed."""
        ...

    def write(self, changes: Changes, *, reached: int) -> None:
        """Apply changes that are in the changelog up to the offset `reached`."""
        ...


class Viewable(Protocol[W_co]):
    """A table: `StateTable` or `WindowTable`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def changelog(self) -> str: ...  # noqa: D102
    def view(self, partition: int) -> W_co: ...  # noqa: D102


class Transaction:
    """The changes that one batch of records makes to the tables of one partition: all, or none that anyone sees."""

    def __init__(self, partition: int, publisher: Publisher, faults: FaultPoints) -> None:
        self.partition = partition
        self._publisher = publisher
        self._faults = faults
        self._views: dict[str, tuple[str, Any]] = {}  # name of the table -> its changelog, the view

    def view(self, table: Viewable[W]) -> W:
        """Return this transaction's view of a table."""
        if table.name not in self._views:
            self._views[table.name] = (table.changelog, table.view(self.partition))
        return self._views[table.name][1]

    async def commit(self) -> None:
        """Make the changes durable: in the changelog first, then in the store.

        Called once the batch's outputs are acknowledged. In that order a crash leaves state that is behind what was
        sent out, never ahead of it: the replay computes the same outputs again from the same state.

        Raises:
            PublishFailed: the changelog did not take them; nothing was changed.
            Unpublishable: a value is too large for the changelog; nothing was changed.
            StateUnavailable: the partition was taken away meanwhile; its next owner has the changes from the changelog.
        """
        partition = self.partition
        views: list[tuple[str, View]] = list(self._views.values())
        found = [(changelog, view, view.changes()) for changelog, view in views]
        records: list[Outgoing] = []
        for changelog, _, changes in found:
            records += [Outgoing(changelog, key, None, ((DELETED, one),), partition) for key, one, _ in changes.deletes]
            records += [Outgoing(changelog, key, entry, (), partition) for key, entry in changes.puts]
        self._faults.reach("before-changelog")
        offsets = await self._publisher.publish(records)
        self._faults.reach("before-store")
        for changelog, view, changes in found:
            if changes:
                view.write(changes, reached=offsets[changelog, partition])


class Transactions:
    """Gives out transactions, one at a time for each partition: agents of several topics share its tables."""

    def __init__(self, publisher: Publisher, faults: FaultPoints = FaultPoints()) -> None:  # noqa: B008 - off
        self._publisher = publisher
        self._faults = faults
        self._locks: dict[int, asyncio.Lock] = {}

    def lock(self, partition: int) -> asyncio.Lock:
        """Return the lock to hold around `begin` and `commit`."""
        return self._locks.setdefault(partition, asyncio.Lock())

    def begin(self, partition: int) -> Transaction:
        """Start a transaction."""
        return Transaction(partition, self._publisher, self._faults)
