# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Relational facts: messages and trips, beside psycopg's COPY into a staging table and INSERT ... ON CONFLICT.

Peer: the way the documentation of psycopg (https://www.psycopg.org/psycopg3/docs/basic/copy.html) and of PostgreSQL
("Populating a Database") name as the fastest, 2,000 writes to a transaction. The last write of a row wins; it compares
no versions and tells nothing of single writes.

The framework drives ours through two connections. Without a bar, so that both can be seen like for like: ours through
one, and the peer through two, which nobody's documentation speaks of.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

import psycopg
from psycopg import sql

from bench.sinks.measured import AT, Bench, batches, deliver, lanes, rate, side_by_side
from connectors.sinks.postgres import RelationalSink
from connectors.sinks.postgres.tables import TABLES
from deploy.local.postgres import PostgresServer
from schemas.writes import RelationalWrite, key_of

BAR = 0.9
PEER = "COPY and ON CONFLICT"
PEER_BY_TWO = "COPY and ON CONFLICT by two connections"
BY_ONE = "ours by one connection"
BATCH = 2_000
TIMES = 3  # as many writes as of a store that takes some ten thousand a second, so that a round lasts as long


def measure(bench: Bench) -> None:
    """Run the row."""
    server = PostgresServer(bench.folder / "postgres")
    server.start()
    try:
        writes = [_write(number) for number in range(TIMES * bench.options.writes)]
        for number in bench.turns:
            contenders = {
                PEER: partial(_peer, server, f"peer{number}", writes, 1),
                "ours": partial(_ours, server, f"ours{number}", writes, RelationalSink.limits.requests),
                PEER_BY_TWO: partial(_peer, server, f"peers{number}", writes, 2),
                BY_ONE: partial(_ours, server, f"one{number}", writes, 1),
            }
            bench.in_turns("postgres", number, contenders)
        with psycopg.connect(server.dsn("postgres")) as connection:
            bench.setup |= {"postgres": connection.info.server_version, "psycopg": version("psycopg")}
    finally:
        server.delete()
    bench.compare("postgres", PEER, BAR)
    bench.compare("postgres", PEER, who=BY_ONE)
    bench.compare("postgres", PEER_BY_TWO)


def _peer(server: PostgresServer, database: str, writes: Sequence[RelationalWrite], ways: int) -> float:
    server.create_database(database)
    with ExitStack() as opened:
        connections = [opened.enter_context(psycopg.connect(server.dsn(database))) for _ in range(ways)]
        for connection in connections:
            _create(connection)
        found = rate(len(writes), lambda: side_by_side(_copy, connections, lanes(writes, ways, key_of)))
        _check(connections[0], writes)
    return found


def _ours(server: PostgresServer, database: str, writes: Sequence[RelationalWrite], ways: int) -> float:
    server.create_database(database)
    sinks = [RelationalSink(server.dsn(database)) for _ in range(ways)]
    for sink in sinks:
        sink.open()
    found = rate(len(writes), lambda: deliver(sinks, writes))
    for sink in sinks:
        sink.close()
    with psycopg.connect(server.dsn(database)) as connection:
        _check(connection, writes)
    return found


def _create(connection: psycopg.Connection[Any]) -> None:
    """Make the same tables and indexes as the sink has."""
    sink = RelationalSink(connection.info.dsn + f" password={connection.info.password}")
    sink.open()
    sink.close()
    for table in TABLES:
        connection.execute(
            sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING DEFAULTS)").format(
                sql.Identifier(f"staged_{table}"), sql.Identifier("travelos", table)
            )
        )
    connection.commit()


def _copy(connection: psycopg.Connection[Any], writes: Sequence[RelationalWrite]) -> None:
    for batch in batches(writes, BATCH):
        groups: defaultdict[tuple[str, tuple[str, ...]], dict[str, RelationalWrite]] = defaultdict(dict)
        for write in batch:
            groups[write.table, tuple(write.columns)][write.key] = write
        for (table, columns), rows in groups.items():
            _copy_some(connection, table, columns, rows)
        connection.commit()


def _copy_some(
    connection: psycopg.Connection[Any], table: str, columns: tuple[str, ...], rows: dict[str, RelationalWrite]
) -> None:
    staged = sql.Identifier(f"staged_{table}")
    names = sql.SQL(", ").join(map(sql.Identifier, ("key", *columns)))
    connection.execute(sql.SQL("TRUNCATE {}").format(staged))
    with connection.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staged, names)) as copy:
        for key, write in rows.items():
            copy.write_row((key, *write.columns.values()))
    taken = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in columns)
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT (key) DO UPDATE SET {}").format(
            sql.Identifier("travelos", table), names, names, staged, taken
        )
    )


def _check(connection: psycopg.Connection[Any], writes: Sequence[RelationalWrite]) -> None:
    rows = len({(write.table, write.key) for write in writes})
    found = connection.execute(
        "SELECT (SELECT count(*) FROM travelos.messages) + (SELECT count(*) FROM travelos.trips)"
    ).fetchone()
    if found != (rows,):
        raise SystemExit(f"there are {found} rows, not {rows}")


def _write(number: int) -> RelationalWrite:
    user = f"user-{number % 997}"
    table, key, columns = _message(number, user) if number % 5 else _trip(number, user)
    return RelationalWrite(
        entity=f"{table}:{key}",
        version=number + 1,
        source="user-events",
        event_id=f"event-{number}",
        occurred_at=AT,
        table=table,
        key=key,
        columns=columns,
    )


def _message(number: int, user: str) -> tuple[Any, str, dict[str, Any]]:
    columns = {
        "user_id": user,
        "conversation_id": f"conversation-{number % 4_001}",
        "role": "user",
        "text": f"message {number}: is there a quiet place with Korean food near the station, open after ten?",
        "intent": "find_place",
        "trip_id": f"trip-{number % 2_003}",
        "sent_at": AT.isoformat(),
    }
    return "messages", f"message-{number}", columns


def _trip(number: int, user: str) -> tuple[Any, str, dict[str, Any]]:
    """Return one of the three writes of a trip: it is planned, started, and ended."""
    trip, step = divmod(number // 5, 3)
    columns: dict[str, Any]
    match step:
        case 0:
            columns = {"user_id": user, "title": "New York", "destinations": ["Soho", "Harlem"], "status": "planned"}
            columns |= {"starts_on": "2026-05-01", "ends_on": "2026-05-09", "planned_at": AT.isoformat()}
        case 1:
            columns = {"status": "started", "started_at": AT.isoformat()}
        case _:
            columns = {"status": "ended", "ended_at": AT.isoformat()}
    return "trips", f"trip-{trip}", columns
