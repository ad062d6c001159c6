"""Transactions: what one batch of records does to the tables of one partition, all of it or nothing.

    async with transactions.turn(partition) as transaction:
        view = transaction.view(counts)
        ...
        transaction.commit_after(lambda: publisher.publish(outputs))
    # Here it is durable.

The next turn of the partition begins as soon as this one has computed its changes, and sees them: agents of several
topics share the tables of a partition, and would else wait for the brokers in each other's stead. What becomes durable
becomes so in the order of the turns.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from streams.runtime.entries import DELETED, Changes
from streams.runtime.faults import FaultPoints
from streams.runtime.publisher import Outgoing, Publisher, TryAgain

W_co = TypeVar("W_co", bound="View", covariant=True)
W = TypeVar("W", bound="View")


class Overtaken(TryAgain):
    """A transaction has seen the changes of an earlier one that did not become durable; its batch is to come again."""

    def __init__(self) -> None:
        super().__init__("an earlier batch of the partition, whose changes this one has seen, did not become durable")


class View(Protocol):
    """One partition of a table inside a transaction."""

    def changes(self) -> Changes:
        """Return what is to be committed."""
        ...

    def stage(self, changes: Changes) -> Callable[[], None]:
        """Show changes to views that are made from now on, until what is returned is called."""
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
        self._first: set[str] = set()  # changelogs
        self._changes: list[tuple[str, View, Changes]] | None = None
        self._hidden: list[Callable[[], None]] = []  # what hides what is staged
        self.publish: Callable[[], Awaitable[object]] | None = None

    def view(self, table: Viewable[W], *, first: bool = False) -> W:
        """Return this transaction's view of a table.

        With `first` its changes are in its changelog before those of other tables: a worker that is killed in between
        leaves these changed and the others not, never the other way round. It costs one round trip to the brokers more.
        """
        if first:
            self._first.add(table.changelog)
        if table.name not in self._views:
            self._views[table.name] = (table.changelog, table.view(self.partition))
        return self._views[table.name][1]

    def commit_after(self, publish: Callable[[], Awaitable[object]]) -> None:
        """Have the turn end with a commit, once `publish` has returned: when the outputs are acknowledged."""
        self.publish = publish

    def stage(self) -> None:
        """Show the changes to the turns that follow, before they are durable."""
        self._changes = self._collect()
        self._hidden = [view.stage(changes) for _, view, changes in self._changes if changes]

    def hide(self) -> None:
        """Take back what `stage` shows; twice is harmless."""
        hidden, self._hidden = self._hidden, []
        for hide in hidden:
            hide()

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
        found = self._collect() if self._changes is None else self._changes
        first = [record for one in found if one[0] in self._first for record in _records(partition, one)]
        others = [record for one in found if one[0] not in self._first for record in _records(partition, one)]
        self._faults.reach("before-changelog")
        offsets = dict(await self._publisher.publish(first)) if first else {}
        if first and others:
            self._faults.reach("between-changelogs")
        if others:
            offsets |= await self._publisher.publish(others)
        self._faults.reach("before-store")
        for changelog, view, changes in found:
            if changes:
                view.write(changes, reached=offsets[changelog, partition])

    def _collect(self) -> list[tuple[str, View, Changes]]:
        views: list[tuple[str, View]] = list(self._views.values())
        return [(changelog, view, view.changes()) for changelog, view in views]


def _records(partition: int, one: tuple[str, View, Changes]) -> Iterator[Outgoing]:
    changelog, _, changes = one
    for key, entry, _ in changes.deletes:
        yield Outgoing(changelog, key, None, ((DELETED, entry),), partition)
    for key, entry in changes.puts:
        yield Outgoing(changelog, key, entry, (), partition)


class _Turns:
    """The turns of one partition."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # held while changes are computed
        self.failures = 0
        self._committing: list[tuple[Transaction, asyncio.Event]] = []  # staged and not durable, in their order

    def stage(self, transaction: Transaction, failures: int) -> None:
        """Queue a transaction for its commit.

        Raises:
            Overtaken: one before it, whose changes it may have seen, failed since there were so many `failures`.
        """
        if self.failures != failures:
            raise Overtaken
        transaction.stage()
        first = asyncio.Event()
        if not self._committing:
            first.set()
        self._committing.append((transaction, first))

    async def until_first(self, transaction: Transaction) -> None:
        """Return when all before it are durable.

        Raises:
            Overtaken: one of them failed.
        """
        for one, first in self._committing:
            if one is transaction:
                await first.wait()
                break
        if not self._holds(transaction):
            raise Overtaken

    def committed(self, transaction: Transaction) -> None:
        """Note that the first is durable; the next one is the first now."""
        transaction.hide()
        self._committing.pop(0)
        if self._committing:
            self._committing[0][1].set()

    def failed(self, transaction: Transaction) -> None:
        """Take back what a transaction did and all that followed it; it does nothing when that was done already."""
        if not self._holds(transaction):
            return
        self.failures += 1
        place = next(index for index, (one, _) in enumerate(self._committing) if one is transaction)
        broken, self._committing = self._committing[place:], self._committing[:place]
        for one, first in broken:
            one.hide()
            first.set()

    def _holds(self, transaction: Transaction) -> bool:
        return any(one is transaction for one, _ in self._committing)


class Transactions:
    """Gives out transactions; those of a partition take turns."""

    def __init__(self, publisher: Publisher, faults: FaultPoints = FaultPoints()) -> None:  # noqa: B008 - off
        self._publisher = publisher
        self._faults = faults
        self._turns: dict[int, _Turns] = {}

    def begin(self, partition: int) -> Transaction:
        """Start a transaction whose caller sees to it that no other one of the partition comes in between."""
        return Transaction(partition, self._publisher, self._faults)

    @asynccontextmanager
    async def turn(self, partition: int) -> AsyncGenerator[Transaction]:
        """Start a transaction in its turn. When the block ends, what `commit_after` was given is called.

        Then, after all turns before it, it is committed. Without `commit_after`, or with an error, nothing is.

        Raises:
            Overtaken: an earlier turn failed; nothing was changed, and the block is to be run again.
            PublishFailed, Unpublishable, StateUnavailable: see `Transaction.commit`; so are the turns that followed.
        """
        turns = self._turns.setdefault(partition, _Turns())
        async with turns.lock:
            transaction, failures = self.begin(partition), turns.failures
            yield transaction
            publish = transaction.publish
            if publish is None:
                return
            turns.stage(transaction, failures)
        try:
            await publish()
            await turns.until_first(transaction)
            await transaction.commit()
        except BaseException:
            turns.failed(transaction)
            raise
        turns.committed(transaction)
