"""The contract between the delivery framework and a store, small enough to read in a minute.

A sink is five things: its limits, `open`, `write`, `held`, `close`. It is called from one thread at a time, may block,
and keeps no retry loop of its own: batching, retries, the circuit breaker, bisecting, dead letters, receipts and
metrics are the framework's, the same for all stores.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)
W_co = TypeVar("W_co", bound=BaseWrite, covariant=True)
W_contra = TypeVar("W_contra", bound=BaseWrite, contravariant=True)


class Limits(Struct, frozen=True, kw_only=True):
    """How much one `write` takes.

    The framework never sends more than `max_records` writes at once, nor more than `max_bytes` of encoded writes unless
    a single one is larger, and waits at most `linger_ms` for a batch to fill. `requests` is how many sinks of the store
    may write side by side, each the writes of other keys; more than one where that is faster.
    """

    max_records: int = 1_000
    max_bytes: int = 4 * 1024 * 1024
    linger_ms: int = 5
    requests: int = 1


class Applied(Struct, frozen=True):
    """The store holds this write now."""


class Superseded(Struct, frozen=True):
    """The store held this version or a newer one already, or the entity is gone; success."""


class Rejected(Struct, frozen=True):
    """The store will never take this write; it becomes a dead letter. The reason names the field where there is one."""

    reason: str


class Retry(Struct, frozen=True):
    """The store did not take this write now but may later; `after` is the store's own wish in seconds, if any."""

    reason: str
    after: float | None = None


Outcome = Applied | Superseded | Rejected | Retry
APPLIED = Applied()
SUPERSEDED = Superseded()


class Held(Struct, frozen=True, kw_only=True):
    """What a store holds of one entity from one source. `copies` above 1 means that the store holds it twice."""

    version: int
    deleted: bool = False
    copies: int = 1


@runtime_checkable
class Undoing(Protocol, Generic[W]):
    """A sink that can tell what would undo a write. Sinks need not; receipts then say nothing of it."""

    def before(self, writes: Sequence[W]) -> list[W | None]:
        """Return for each write the one that brings back what the store holds of its entity now.

        That is an upsert with the content and the version it holds, or a delete of version 0 where it holds nothing.
        None: the write is not newer than what the store holds, so there is nothing to undo, or the store cannot tell.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


@runtime_checkable
class Recognising(Protocol, Generic[W]):
    """A sink that tells a write which it took before it was cut off from one that it never took.

    That takes one step for a write and its version, whatever is killed when. Of such a sink, what undoes a write of an
    entity that it does not hold is told with the write's end, not before it.
    """

    def own(self, writes: Sequence[W]) -> list[W | None]:
        """Return for each write that the store holds, by its version, the delete of its entity; None for others.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


@runtime_checkable
class Telling(Protocol, Generic[W]):
    """A sink whose `before` is not the way to ask for what it holds: it costs too much, or leaves something behind."""

    def stored(self, places: Sequence[W]) -> list[W | None]:
        """Return what the store holds of entities; see `connectors.sinks.content.stored`.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


@runtime_checkable
class Walking(Protocol, Generic[W_co]):
    """A sink that can go through all that it holds, which is how what nobody has written is found."""

    def walk(self) -> Iterator[W_co]:
        """Yield a delete of each entity that the store holds; what is written meanwhile may come or not.

        Its source and version are those that the store holds; `connectors.sinks.persons.NO_LINE` and 0 where it has
        none. Of an entity of several sources one is told. The sink may be asked other things between two of them.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


class Sink(Protocol, Generic[W_contra]):
    """A store that takes writes of one kind.

    The constructor does no I/O. After `close` the same object may be opened again.
    """

    @property
    def limits(self) -> Limits:
        """The bounds of a batch; constant."""
        ...

    def open(self) -> None:
        """Connect, prove it with a real call, and create what is missing (tables, indexes, buckets).

        Raises:
            Unavailable: the store does not answer; opening may be tried again.
            Fatal: it will never work like this (credentials, version); names the option and the fix.
        """
        ...

    def write(self, batch: Sequence[W_contra]) -> list[Outcome]:
        """Apply a batch and return one outcome for each write, in order.

        Each write is compared and applied in one atomic step: it takes effect only when its version is newer than what
        the store holds for (entity, source), deletes included; one with `repair` also when it is the same
        (`BaseWrite.replaces` says both). Two writes of one entity in a batch apply in order.

        Raises:
            Unavailable: nothing is known of any write of the batch; all will be sent again.
            BatchTooLarge: nothing was applied; a smaller batch may fit.
            Fatal: no retry can help.
        """
        ...

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the store itself holds for each (entity, source); entities it never saw are absent.

        This looks at the data, not at a cache: reconciliation and `verify` rest on it.

        Raises:
            Unavailable: the store does not answer.
        """
        ...

    def close(self) -> None:
        """Release everything; what `write` returned as applied stays. May be called twice."""
        ...
