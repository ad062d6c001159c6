# pyright: reportUnknownMemberType=false
"""The graph: places, and visits between travellers and places, each written twice, beside a hand-written UNWIND.

Peer: one session, a managed transaction for each 2,000 rows, `UNWIND $rows MERGE ... SET +=`, a uniqueness constraint
for each label (https://neo4j.com/docs/python-manual/current/performance/), and the indexes of properties that ours has,
too. It neither compares versions nor knows of deletes, and its relations have no index.

Beside it, without a bar: the same with the shortest guard there is, a condition before the SET, which tells what
comparing versions costs the server by itself (it does not lock what it compares, nor know of deletes); and the plain
one by two sessions, as the framework drives ours, of which the documentation does not speak. The driver tries
transactions again that deadlock.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import neo4j

from bench.sinks.measured import AT, Bench, batches, deliver, lanes, rate, side_by_side
from connectors.sinks.neo4j import Neo4jOptions, Neo4jSink
from deploy.local.neo4j import Neo4jServer
from deploy.local.neo4j.server import VERSION
from schemas.writes import GraphWrite, NodeRef

BAR = 0.9
PEER = "hand-written UNWIND"
GUARDED = "UNWIND that compares versions"
BY_TWO = "hand-written UNWIND by two sessions"
ROWS = 2_000
PEOPLE = 4_000
TIMES = 2  # as many writes as of the slowest store, so that a server in Java is warm for most of it

NODES = "UNWIND $rows AS row MERGE (n:Place {id: row.id}) SET n += row.properties"
RELATIONS = """
UNWIND $rows AS row MERGE (a:User {id: row.start}) MERGE (b:Place {id: row.end})
MERGE (a)-[r:VISITED {id: row.id}]->(b) SET r += row.properties
"""
NODES_GUARDED = NODES.replace(
    "SET", "WITH row, n WHERE coalesce(n.version < row.version, true) SET n.version = row.version,"
)
RELATIONS_GUARDED = RELATIONS.replace(
    "SET", "WITH row, r WHERE coalesce(r.version < row.version, true) SET r.version = row.version,"
)
Row = dict[str, Any]


def measure(bench: Bench) -> None:
    """Run the rows."""
    server = Neo4jServer(bench.folder / "neo4j", heap="1g", steady=True)
    server.start()
    try:
        with neo4j.GraphDatabase.driver(server.address, auth=("neo4j", server.password)) as driver:
            for name, rows, peers, write in (
                ("neo4j nodes", _places, {PEER: NODES, GUARDED: NODES_GUARDED}, _place),
                ("neo4j relations", _visits, {PEER: RELATIONS, GUARDED: RELATIONS_GUARDED}, _visit),
            ):
                _measure(bench, server, driver, (name, rows, peers, write))
    finally:
        server.delete()
    bench.setup |= {"neo4j": VERSION, "neo4j_driver": neo4j.__version__}


def _measure(
    bench: Bench,
    server: Neo4jServer,
    driver: neo4j.Driver,
    row: tuple[str, Callable[[int, int], list[Row]], Mapping[str, str], Callable[[Row, int], GraphWrite]],
) -> None:
    name, make, statements, write = row
    count = TIMES * bench.options.writes // 2
    data = [make(count, version) for version in (1, 2)]
    writes = [write(one, version) for version, rows in enumerate(data, 1) for one in rows]
    options = Neo4jOptions(url=server.address, password=server.password)
    rows = [*data[0], *data[1]]
    made: list[list[int]] = []

    def peer(statement: str, ways: int = 1) -> float:
        _prepare(driver, options)
        work = partial(_unwind, statement)
        with ExitStack() as opened:
            sessions = [opened.enter_context(driver.session(database="neo4j")) for _ in range(ways)]
            found = rate(len(rows), lambda: side_by_side(work, sessions, lanes(rows, ways, _key)))
        made.append(_counts(driver))
        return found

    def ours() -> float:
        _clear(driver)
        sinks = [Neo4jSink(options) for _ in range(Neo4jSink(options).limits.requests)]
        for sink in sinks:
            sink.open()
        found = rate(len(writes), lambda: deliver(sinks, writes))
        for sink in sinks:
            sink.close()
        made.append(_counts(driver))
        return found

    for number in bench.turns:
        contenders = {peer_name: partial(peer, statement) for peer_name, statement in statements.items()}
        by_two = {BY_TWO: partial(peer, statements[PEER], 2)}
        bench.in_turns(name, number, {**contenders, "ours": ours, **by_two})
    if any(one != made[0] for one in made):
        raise SystemExit(f"{name}: not all made the same nodes and relations: {made}")
    bench.compare(name, PEER, BAR)
    bench.compare(name, GUARDED)
    bench.compare(name, BY_TWO)


def _prepare(driver: neo4j.Driver, options: Neo4jOptions) -> None:
    _clear(driver)
    for label in ("User", "Place"):
        driver.execute_query(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE", database_="neo4j")
    for label, indexed in (index.split(".") for index in options.indexes):
        command: Any = f"CREATE INDEX FOR (n:{label}) ON (n.{indexed})"
        driver.execute_query(command, database_="neo4j")


def _unwind(statement: str, session: neo4j.Session, rows: Sequence[Row]) -> None:
    for batch in batches(rows, ROWS):
        session.execute_write(partial(_unwind_some, statement, batch))


def _unwind_some(statement: str, rows: Sequence[Row], transaction: neo4j.ManagedTransaction) -> None:
    transaction.run(statement, rows=rows).consume()  # pyright: ignore[reportArgumentType] - no literal


def _key(row: Row) -> str:
    return row.get("start", row["id"])


def _clear(driver: neo4j.Driver) -> None:
    with closing(driver.session(database="neo4j")) as session:
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS").consume()
        for kind, where in (("CONSTRAINT", ""), ("INDEX", " WHERE type <> 'LOOKUP'")):
            for found in session.run(f"SHOW {kind} YIELD *{where}").data():  # pyright: ignore[reportArgumentType]
                session.run(f"DROP {kind} `{found['name']}`").consume()  # pyright: ignore[reportArgumentType]


def _counts(driver: neo4j.Driver) -> list[int]:
    statement = "MATCH (n) WITH count(n) AS nodes OPTIONAL MATCH ()-[r]->() RETURN nodes, count(r) AS relations"
    records, _, _ = driver.execute_query(statement, database_="neo4j")
    return list(records[0].values())


def _places(count: int, version: int) -> list[Row]:
    return [
        {
            "id": f"p{number}",
            "version": version,
            "properties": {
                "name": f"Trattoria {number}",
                "kind": "restaurant",
                "area": "Soho",
                "lat": 40.7 + number / 1e6,
                "lon": -74.0,
                "score": version / 10,
            },
        }
        for number in range(count)
    ]


def _place(row: Row, version: int) -> GraphWrite:
    return GraphWrite(
        entity=f"place:{row['id']}",
        version=version,
        source="travel",
        event_id="e",
        occurred_at=AT,
        node=NodeRef("Place", row["id"]),
        properties=row["properties"],
    )


def _visits(count: int, version: int) -> list[Row]:
    chosen = random.Random(1)
    return [
        {
            "id": f"VISITED:e{number}",
            "version": version,
            "start": f"u{chosen.randrange(PEOPLE)}",
            "end": f"p{chosen.randrange(PEOPLE)}",
            "properties": {"date": "2026-05-01T12:00:00Z", "rating": version, "would_return": True},
        }
        for number in range(count)
    ]


def _visit(row: Row, version: int) -> GraphWrite:
    return GraphWrite(
        entity=row["id"],
        version=version,
        source="events",
        event_id="e",
        occurred_at=AT,
        relation="VISITED",
        start=NodeRef("User", row["start"]),
        end=NodeRef("Place", row["end"]),
        properties=row["properties"],
    )
