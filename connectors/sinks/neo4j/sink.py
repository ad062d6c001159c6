# pyright: reportUnknownMemberType=false
"""Write the graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import neo4j

from connectors.sinks.contract import Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.neo4j import statements
from connectors.sinks.neo4j.asked import Blocks
from connectors.sinks.neo4j.at_once import AtOnce
from connectors.sinks.neo4j.errors import Contention, Contradicted, Refused, interpreted, interpreted_alone
from connectors.sinks.neo4j.found import Found, gathered
from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.neo4j.plan import plan
from connectors.sinks.neo4j.purging import checkpoint
from connectors.sinks.neo4j.schema import Schema
from connectors.sinks.neo4j.values import Unfit, check
from connectors.sinks.neo4j.work import Work
from connectors.sinks.persons import NO_LINE, Purge, delete_of
from connectors.sinks.undo import undone_to_nothing
from schemas.persons import OWN_LABELS, USER_LABEL
from schemas.writes import GraphWrite, NodeRef

Numbered = tuple[int, GraphWrite]

_WALKED_AT_ONCE = 500


class Neo4jSink:
    """Nodes and relations of a Neo4j database; what they mean is said at `GraphWrite`.

    A batch is one statement, or one transaction of several. Versions are compared under the lock of what carries them,
    in the statement that writes it; what the statement leaves alone is read, decided and written under one lock. A
    deadlock costs the batch nothing but another attempt.
    """

    def __init__(self, options: Neo4jOptions) -> None:
        # Of two sinks one makes rows while the other waits: 0.93 of what a plain UNWIND writes, where one took 0.82.
        self.limits = Limits(max_records=2_000, requests=2)
        self._options = options
        self._driver: neo4j.Driver | None = None
        self._session: neo4j.Session | None = None
        self._schema: Schema | None = None
        self._blocks = Blocks()

    def open(self) -> None:
        """Connect, and create and check constraints and indexes.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, login, rights, database or the server's version; names the option.
        """
        if self._driver is not None:
            return
        options = self._options
        try:
            with interpreted_alone():
                self._driver = neo4j.GraphDatabase.driver(
                    options.url,
                    auth=(options.username, options.password),
                    connection_timeout=options.connect_seconds,
                    connection_acquisition_timeout=options.connect_seconds + 5,
                    user_agent="travelos",
                    notifications_min_severity="OFF",
                )
                self._session = self._driver.session(database=options.database)
            self._schema = Schema(self._session)
            self._schema.prepare(options)
        except BaseException:
            self.close()
            raise

    def write(self, batch: Sequence[GraphWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: dict[int, Outcome] = {}
        fitting: list[Numbered] = []
        for index, write in enumerate(batch):
            try:
                check(write)
            except Unfit as error:
                outcomes[index] = Rejected(str(error))
            else:
                fitting.append((index, write))
        if fitting:
            self._learn(fitting)
            outcomes.update(self._apply(fitting))
        return [outcomes[index] for index in range(len(batch))]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the graph holds; `copies` is 0 for what is gone."""
        found = self._found((entity for entity, _ in entities), whole=False)
        held: dict[tuple[str, str], Held] = {}
        for entity, source in entities:
            line = found[entity].lines.get(source) if entity in found else None
            if line is not None:
                copies = found[entity].copies
                held[entity, source] = Held(version=line.version, deleted=line.deleted, copies=copies)
        return held

    def before(self, writes: Sequence[GraphWrite]) -> list[GraphWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`.

        Of a node that is to be deleted this is the node; its relations are writes of their own.
        """
        found = self._found((write.entity for write in writes), whole=True)
        return [_undo(write, found.get(write.entity, Found())) for write in writes]

    def of_user(self, user: str) -> list[GraphWrite]:
        """Return what the graph holds of a person; see `connectors.sinks.persons.Attributing`. Relations come first."""
        session, schema = self._opened()
        if USER_LABEL not in schema.labels:
            return []
        with interpreted_alone():
            asked: dict[str, Any] = {"user": user, "own": sorted(OWN_LABELS)}
            relations = [row["entity"] for row in session.run(statements.RELATIONS_OF_USER, asked).data()]
            nodes = session.run(statements.NODES_OF_USER, asked).data()
        named = {row["entity"] or f"{row['label'].lower()}:{row['id']}": row for row in nodes}
        found = self._found([*relations, *named], whole=True)
        deletes: list[GraphWrite] = []
        for entity in [*relations, *named]:
            row, content = named.get(entity), found.get(entity, Found()).content
            if row is not None and row["version"] is None:
                node = NodeRef(row["label"], row["id"])
                deletes.append(delete_of(GraphWrite, entity, NO_LINE, 0, node=node))
            elif content is not None:
                places = {name: content[name] for name in ("node", "relation", "start", "end")}
                lines = found[entity].lines.items()
                deletes += [delete_of(GraphWrite, entity, source, line.version, **places) for source, line in lines]
        return deletes

    def purge(self) -> Purge:
        """Have what is in memory written, and logs removed; see `connectors.sinks.persons.Purging`."""
        session, _ = self._opened()
        with interpreted_alone():
            return checkpoint(session)

    def walk(self) -> Iterator[GraphWrite]:
        """Yield what the graph holds; see `connectors.sinks.contract.Walking`."""
        _, schema = self._opened()
        assert self._driver is not None, "the sink is open"
        with interpreted_alone(), self._driver.session(database=self._options.database) as session:
            names: list[str] = []
            for row in session.run(statements.WALK):
                label = next((label for label in row["labels"] if label in schema.labels), "")
                names.append(row["entity"] or f"{label.lower()}:{row['id']}")
                if len(names) == _WALKED_AT_ONCE:
                    yield from self._places(names)
                    names = []
            yield from self._places(names)

    def _places(self, entities: Sequence[str]) -> Iterator[GraphWrite]:
        """Yield a delete of each entity that is there."""
        for entity, found in self._found(entities, whole=True).items():
            if found.content is not None and found.lines:
                where = {name: found.content[name] for name in ("node", "relation", "start", "end")}
                source = max(found.lines)
                yield delete_of(GraphWrite, entity, source, found.lines[source].version, **where)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        driver, self._driver, session, self._session = self._driver, None, self._session, None
        if session is not None:
            _close(session)
        if driver is not None:
            _close(driver)

    def _found(self, entities: Iterable[str], *, whole: bool) -> dict[str, Found]:
        session, schema = self._opened()
        names = list(dict.fromkeys(entities))
        if not names:
            return {}
        statement = statements.find(sorted(schema.labels), sorted(schema.relations), whole=whole)
        with interpreted_alone():
            rows = session.run(statement, {"entities": names, "labels": list(schema.labels)}).data()  # pyright: ignore[reportArgumentType] - no literal
        return gathered(rows)

    def _learn(self, writes: Sequence[Numbered]) -> None:
        _, schema = self._opened()
        labels = {ref.label for _, write in writes for ref in (write.node, write.start, write.end) if ref is not None}
        schema.learn(labels, {write.relation for _, write in writes if write.relation is not None})

    def _apply(self, writes: Sequence[Numbered], *, with_care: bool = False) -> dict[int, Outcome]:
        """Apply writes together, or, when the server refuses one of them, each half by itself, down to that one.

        What is done at once stays done, whatever becomes of the writes that it has left.
        """
        try:
            with interpreted():
                outcomes, left = self._apply_together(writes, with_care=with_care)
        except Contention as error:
            return {index: Retry(f"another transaction is in the way: {error}") for index, _ in writes}
        except Contradicted as error:
            # Not all of them are asked again: under a constraint of the operator's own that would be for as long as
            # retries last, with one write after the other held up by whichever comes with it.
            if len(writes) == 1:
                return {writes[0][0]: Retry(f"a constraint is against it: {error}")}
        except Refused as error:
            if len(writes) == 1:
                [(index, write)] = writes
                return {index: self._rejected(write, str(error))}
        else:
            return outcomes | self._apply(left, with_care=True) if left else outcomes
        middle = len(writes) // 2
        return self._apply(writes[:middle], with_care=with_care) | self._apply(writes[middle:], with_care=with_care)

    def _rejected(self, write: GraphWrite, why: str) -> Outcome:
        """Return that a write is rejected, once nothing of it is left.

        A statement that leaves it to be taken with care has made the nodes to whose versions it was to be compared.
        """
        session, _ = self._opened()
        try:
            with interpreted():
                for ref in (write.node, write.start, write.end):
                    if ref is not None:
                        parameters: dict[str, Any] = {"ids": [ref.id], **statements.GUARD_NAMES}
                        session.run(statements.remove_bare_nodes(ref.label), parameters).consume()  # pyright: ignore[reportArgumentType] - no literal
        except (Contention, Contradicted) as error:
            # Somebody needs the node just now; asked again, all of this happens again.
            return Retry(f"another transaction is in the way: {error}")
        return Rejected(why)

    def _apply_together(
        self, writes: Sequence[Numbered], *, with_care: bool
    ) -> tuple[dict[int, Outcome], Sequence[Numbered]]:
        """Return what became of writes, and those that are left to be taken with care."""
        session, schema = self._opened()
        stages, seconds = plan(writes), self._options.transaction_seconds
        if not with_care and (at_once := AtOnce.of(stages, self._blocks)) is not None:
            outcomes, left = at_once.ask(session, seconds)
            return outcomes, [one for one in writes if one[0] in left]
        with session.begin_transaction(timeout=seconds) as transaction:
            work = Work(transaction, self._blocks, statements.find(sorted(schema.labels), sorted(schema.relations)))
            for stage in stages:
                work.apply(stage)
            transaction.commit()
        return work.outcomes, ()

    def _opened(self) -> tuple[neo4j.Session, Schema]:
        if self._session is None or self._schema is None:
            raise RuntimeError("the sink is not open")
        return self._session, self._schema


def _close(what: Any) -> None:
    with interpreted_alone():
        what.close()


def _undo(write: GraphWrite, found: Found) -> GraphWrite | None:
    line = found.lines.get(write.source)
    if line is not None and line.version >= write.version:
        return None
    if found.content is None:
        return undone_to_nothing(write, ("node", "relation", "start", "end"))
    version = 0 if line is None else line.version
    return msgspec.structs.replace(write, **found.content, op="upsert", version=version, undo=False)
