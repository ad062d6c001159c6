"""The properties that the large statements set by name: those seen so far, for each label and type.

A statement's text follows from them, and the server compiles each text once, for tens of milliseconds. So the names
stay the same from batch to batch; what a write does not have is null, which removes it.
"""

from typing import Any

from connectors.sinks.neo4j.plan import Change
from connectors.sinks.neo4j.values import properties

MOST = 64  # beyond, a statement would be mostly nulls


class Columns:
    """Names by label or type; they grow up to `MOST`."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool], tuple[str, ...]] = {}

    def of(self, label: str, *, relation: bool = False) -> tuple[str, ...]:
        """Return the names of a label, or of a type of relation."""
        return self._names.get((label, relation), ())

    def divided(
        self, label: str, changes: list[Change], *, relation: bool = False
    ) -> tuple[list[tuple[Change, list[Any]]], list[Change]]:
        """Return the changes that the names can express, each with its values in order, and the others."""
        found = [(change, properties(change.write)) for change in changes]
        shapes = dict.fromkeys(tuple(values) for _, values in found)  # few, also of many changes
        names = self.of(label, relation=relation)
        known = set(names)
        for shape in shapes:
            fresh = set(shape) - known
            if fresh and len(known) + len(fresh) <= MOST:
                names += tuple(sorted(fresh))
                known |= fresh
        self._names[label, relation] = names
        fitting = {shape for shape in shapes if known.issuperset(shape)}
        quick: list[tuple[Change, list[Any]]] = []
        others: list[Change] = []
        for change, values in found:
            # The large statements compare for newer only.
            if tuple(values) in fitting and not change.write.repair:
                quick.append((change, list(map(values.get, names))))
            else:
                others.append(change)
        return quick, others
