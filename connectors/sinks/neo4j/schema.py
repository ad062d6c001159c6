# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Constraints and indexes: what makes MERGE fast and correct is made, and seen to be there, before anything is written.

Every edition has them: uniqueness of one property, and range indexes. Node keys need the Enterprise edition and would
add nothing, because every node the sink makes has an id.
"""

from collections.abc import Iterable
from typing import Any

import neo4j

from connectors.sinks.errors import Fatal
from connectors.sinks.neo4j import statements
from connectors.sinks.neo4j.errors import OPTIONS, interpreted_alone
from connectors.sinks.neo4j.options import Neo4jOptions

OLDEST = (5, 23)  # the first with CALL () { }


class Schema:
    """What is prepared of one database. `labels` and `relations` grow when a write brings new ones."""

    def __init__(self, session: neo4j.Session) -> None:
        self._session = session
        self.labels: set[str] = set()
        self.relations: set[str] = set()

    def prepare(self, options: Neo4jOptions) -> None:
        """See which server this is, and make what is missing.

        Raises:
            Unavailable: the server does not answer.
            Fatal: the server is too old, or something that is there is in the way; names it.
        """
        with interpreted_alone():
            self._check_version()
            known = self._known()
            for statement in (*statements.TOMBSTONE_SCHEMA, statements.LOCK_NAME):
                self._run(statement)
            self._make(known["NODE"].union(options.labels), known["RELATIONSHIP"].union(options.relations))
            for index in options.indexes:
                label, _, name = index.partition(".")
                self._run(statements.index(label, name))
            self._run("CALL db.awaitIndexes(60)")
            self._check()

    def learn(self, labels: Iterable[str], relations: Iterable[str]) -> None:
        """Make the constraints and indexes of labels and types that are new."""
        new_labels, new_relations = set(labels) - self.labels, set(relations) - self.relations
        if new_labels or new_relations:
            with interpreted_alone():
                self._make(new_labels, new_relations)
                self._run("CALL db.awaitIndexes(60)")

    def _make(self, labels: Iterable[str], relations: Iterable[str]) -> None:
        for label in sorted(labels):
            self._run(statements.node_constraint(label))
            self._run(statements.entity_index(label))
            self.labels.add(label)
        for kind in sorted(relations):
            self._run(statements.relation_index(kind))
            self.relations.add(kind)

    def _known(self) -> dict[str, set[str]]:
        """Return what earlier runs have prepared, options or not: their entities are to be found too."""
        known: dict[str, set[str]] = {"NODE": set(), "RELATIONSHIP": set()}
        for row in self._run("SHOW INDEXES YIELD entityType, labelsOrTypes, properties WHERE properties = ['_entity']"):
            known[row["entityType"]].update(row["labelsOrTypes"])
        return known

    def _check(self) -> None:
        """See that every constraint and index is there and online, which IF NOT EXISTS does not say.

        Raises:
            Fatal: one is not; says which, and what is in the way.
        """
        rows = self._run(
            "SHOW INDEXES YIELD state, labelsOrTypes, properties, owningConstraint "
            "WHERE state = 'ONLINE' AND owningConstraint IS NOT NULL AND size(properties) = 1"
        )
        unique = {(label, row["properties"][0]) for row in rows for label in row["labelsOrTypes"]}
        wanted = {(label, "id") for label in self.labels} | {(statements.TOMBSTONE, "entity")}
        missing = sorted(wanted - unique)
        if missing:
            label, name = missing[0]
            raise Fatal(
                f"Neo4j has no constraint that makes `{name}` of `{label}` unique; drop the index that is in its "
                f"way, or let `{OPTIONS}.username` name a user who may create constraints"
            )

    def _check_version(self) -> None:
        rows = self._run(
            "CALL dbms.components() YIELD name, versions WHERE name = 'Neo4j Kernel' RETURN versions[0] AS v"
        )
        version = str(rows[0]["v"]) if rows else ""
        parts = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
        if parts < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise Fatal(f"Neo4j {version or 'of unknown version'} is too old; the sink needs {oldest} or newer")

    def _run(self, statement: str) -> list[dict[str, Any]]:
        return self._session.run(statement).data()  # pyright: ignore[reportArgumentType] - no literal
