# pyright: reportUnknownMemberType=false
"""Write the graph."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import neo4j

from connectors.sinks.contract import Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.neo4j import statements
from connectors.sinks.neo4j.columns import Columns
from connectors.sinks.neo4j.errors import Contention, Refused, interpreted, interpreted_alone
from connectors.sinks.neo4j.lines import Lines, carried, read
from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.neo4j.plan import plan
from connectors.sinks.neo4j.schema import Schema
from connectors.sinks.neo4j.values import Unfit, check
from connectors.sinks.neo4j.work import Work
from schemas.writes import GraphWrite

Numbered = tuple[int, GraphWrite]


class Neo4jSink:
    """Nodes and relations of a Neo4j database; what they mean is said at `GraphWrite`.

    A batch is one transaction. Versions are compared under the lock of what carries them, in the statement that writes
    it; what the statement leaves alone is read, decided and written under the same lock. A deadlock costs the batch
    nothing but another attempt.
    """

    def __init__(self, options: Neo4jOptions) -> None:
        self.limits = Limits(max_records=2_000, requests=2)
        self._options = options
        self._driver: neo4j.Driver | None = None
        self._session: neo4j.Session | None = None
        self._schema: Schema | None = None
        self._columns = Columns()

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
        session, schema = self._opened()
        names = list(dict.fromkeys(entity for entity, _ in entities))
        if not names:
            return {}
        copies: defaultdict[str, int] = defaultdict(int)
        lines: dict[str, Lines] = {}
        with interpreted_alone():
            found = session.run(statements.find(schema.labels, schema.relations), {"entities": names}).data()  # pyright: ignore[reportArgumentType]
        for row in found:
            if row["buried"] is not None:
                lines.setdefault(row["entity"], {}).update(read(row["buried"]))
            elif row["version"] is not None:
                copies[row["entity"]] += 1
                lines.setdefault(row["entity"], {}).update(carried(row["source"], row["version"], row["lines"]))
        return {
            (entity, source): Held(
                version=lines[entity][source].version, deleted=lines[entity][source].deleted, copies=copies[entity]
            )
            for entity, source in entities
            if source in lines.get(entity, {})
        }

    def close(self) -> None:
        """Close the connections; may be called twice."""
        driver, self._driver, session, self._session = self._driver, None, self._session, None
        if session is not None:
            _close(session)
        if driver is not None:
            _close(driver)

    def _learn(self, writes: Sequence[Numbered]) -> None:
        _, schema = self._opened()
        labels = {ref.label for _, write in writes for ref in (write.node, write.start, write.end) if ref is not None}
        schema.learn(labels, {write.relation for _, write in writes if write.relation is not None})

    def _apply(self, writes: Sequence[Numbered]) -> dict[int, Outcome]:
        """Apply writes together, or, when the server refuses one of them, each half by itself, down to that one."""
        try:
            with interpreted():
                return self._apply_together(writes)
        except Contention as error:
            return {index: Retry(f"another transaction is in the way: {error}") for index, _ in writes}
        except Refused as error:
            if len(writes) == 1:
                return {writes[0][0]: Rejected(str(error))}
        middle = len(writes) // 2
        return self._apply(writes[:middle]) | self._apply(writes[middle:])

    def _apply_together(self, writes: Sequence[Numbered]) -> dict[int, Outcome]:
        session, schema = self._opened()
        stages = plan(writes)
        with session.begin_transaction(timeout=self._options.transaction_seconds) as transaction:
            work = Work(transaction, self._columns, statements.find(schema.labels, schema.relations))
            for stage in stages:
                work.apply(stage)
            transaction.commit()
        return work.outcomes

    def _opened(self) -> tuple[neo4j.Session, Schema]:
        if self._session is None or self._schema is None:
            raise RuntimeError("the sink is not open")
        return self._session, self._schema


def _close(what: Any) -> None:
    with interpreted_alone():
        what.close()
