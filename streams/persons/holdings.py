"""What the stores may hold of a person, collected from writes. Pure.

holdings = Holdings("u-7")
for write in writes:
    holdings.take(write)
holdings.all()  # one for each entity and version line, by store
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec import Struct, structs

from connectors.sinks.undo import emptied
from schemas.persons import own_node, persons_of
from schemas.writes import BaseWrite, GraphWrite, NodeRef, StoreName, Write, store_of
from streams.routing.entities import EVENTS, entity

W = TypeVar("W", bound=BaseWrite)

_PLACES: dict[StoreName, tuple[str, ...]] = {"graph": ("node", "relation", "start", "end")}

Line = tuple[StoreName, str, str]  # store, entity, source


class Holding(Struct, frozen=True):
    """One entity of a person in one store, as one source tells of it.

    Attributes:
        write: a delete of it, without content; its version is the newest that was seen.
    """

    write: Write

    @property
    def store(self) -> StoreName:
        """The store it lies in."""
        return store_of(self.write)

    @property
    def line(self) -> Line:
        """What tells it from others."""
        return (self.store, self.write.entity, self.write.source)


class Holdings:
    """The entities of one person, each once, in whatever order and however often their writes are taken.

    Args:
        user: the person's id.
        own: event id of deletes that do not count: those of the erasure that asks.
    """

    def __init__(self, user: str, own: str = "") -> None:
        self.user = user
        self._own = own
        self._found: dict[Line, Write] = {}
        self._versions: dict[Line, int] = {}
        self._deleted: dict[Line, int] = {}  # versions of deletes, which may be read before what they delete

    def take(self, write: Write) -> None:
        """Take a write, of whomever; what is about the person is remembered.

        A delete tells the version of an entity only: of whom it was, the write said that it deletes.
        """
        line = (store_of(write), write.entity, write.source)
        if write.op == "delete":
            if write.event_id == self._own:
                return
            self._deleted[line] = max(write.version, self._deleted.get(line, 0))
        if self.user not in persons_of(write):
            return
        self._versions[line] = max(write.version, self._versions.get(line, 0))
        self._found.setdefault(line, emptied(write, _PLACES.get(line[0], ())))
        if isinstance(write, GraphWrite):
            self._take_nodes(write)

    def add(self, found: Write) -> None:
        """Take what a store says that it holds of the person; see `connectors.sinks.persons`."""
        write = structs.replace(found, source=found.source or EVENTS)
        line = (store_of(write), write.entity, write.source)
        self._versions[line] = max(write.version, self._versions.get(line, 0))
        self._found.setdefault(line, write)

    def take_all(self, writes: Iterable[Write]) -> None:
        """Take several."""
        for write in writes:
            self.take(write)

    def all(self) -> list[Holding]:
        """Return what was found: relations before nodes, whose removal would leave no trace of their versions."""
        found = [
            Holding(structs.replace(write, version=max(self._versions[line], self._deleted.get(line, 0))))
            for line, write in self._found.items()
        ]
        return sorted(found, key=lambda one: (one.store, _is_node(one.write), one.line))

    def __len__(self) -> int:
        return len(self._found)

    def _take_nodes(self, write: GraphWrite) -> None:
        """Remember the person's own node and those of their photos, which relations have made."""
        for node in (write.start, write.end):
            if node is not None and own_node(node, self.user):
                self._take_node(write, node)

    def _take_node(self, write: GraphWrite, node: NodeRef) -> None:
        name = entity(node.label.lower(), node.id)
        line: Line = ("graph", name, EVENTS)
        self._versions[line] = max(write.version if write.source == EVENTS else 0, self._versions.get(line, 0))
        if line not in self._found:
            self._found[line] = GraphWrite(
                entity=name,
                version=0,
                source=EVENTS,
                event_id=write.event_id,
                occurred_at=write.occurred_at,
                op="delete",
                node=node,
            )


def by_store(holdings: Iterable[Holding]) -> dict[StoreName, list[Holding]]:
    """Return holdings by their store, in their order."""
    found: dict[StoreName, list[Holding]] = {}
    for one in holdings:
        found.setdefault(one.store, []).append(one)
    return found


def _is_node(write: Write) -> bool:
    return isinstance(write, GraphWrite) and write.node is not None


def entities_of(holdings: Iterable[Holding]) -> Iterator[tuple[str, str]]:
    """Yield the (entity, source) of each, as `Sink.held` asks for them."""
    return ((one.write.entity, one.write.source) for one in holdings)
