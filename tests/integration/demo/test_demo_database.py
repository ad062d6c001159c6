import json
import threading
import time
import zlib
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import psycopg
import pytest
from msgspec import convert
from psycopg import sql
from psycopg.rows import dict_row

from deploy.local.postgres import PostgresServer
from schemas.changes import RestaurantRow, UserRow
from streams.demo.database import DATABASE, ROW_TYPES, Row, columns, create_tables, fill_new_tables, load_rows
from streams.demo.live import ChangeApplier, LiveChanges
from streams.demo.live_plan import plan_changes
from streams.demo.tables import load_places, load_restaurants

pytestmark = pytest.mark.integration


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    return postgres_server


@pytest.fixture
def dsn(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    name = f"{DATABASE}_{zlib.crc32(request.node.name.encode())}"
    server.create_database(name)
    create_tables(server.dsn(name))
    return server.dsn(name)


def tables() -> dict[str, list[Row]]:
    users: list[Row] = [UserRow(id=f"traveller-{n}", name="Élise 지우", home_city=None) for n in range(20)]
    return {"restaurants": [*load_restaurants().rows], "places": [*load_places().rows], "users": users}


def held(dsn: str, table: str) -> dict[str, Row]:
    """Return the rows of a table as the structs they were loaded from."""
    names = [sql.SQL("grades::text") if name == "grades" else sql.Identifier(name) for name in columns(table)]
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(names), sql.Identifier(table))
    with psycopg.connect(dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query).fetchall()
    return {row["id"]: convert(row, ROW_TYPES[table]) for row in rows}


def value(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_tables_hold_exactly_the_rows_that_were_loaded(dsn: str) -> None:
    for table, rows in tables().items():
        assert load_rows(dsn, table, rows) == len(rows)
        assert held(dsn, table) == {row.id: row for row in rows}


def test_loading_twice_writes_nothing(dsn: str) -> None:
    for table, rows in tables().items():
        load_rows(dsn, table, rows)
    versions = "SELECT max(xmin::text::bigint) || '/' || max(updated_at) FROM restaurants"
    before = value(dsn, versions)
    create_tables(dsn)
    assert [load_rows(dsn, table, rows) for table, rows in tables().items()] == [0, 0, 0]
    assert value(dsn, versions) == before


def test_loading_again_updates_only_what_differs_and_leaves_other_rows_alone(dsn: str) -> None:
    rows: list[Row] = [RestaurantRow(id=f"nyc-{n}", name="Bar", grades="[]") for n in range(5)]
    load_rows(dsn, "restaurants", rows)
    assert load_rows(dsn, "restaurants", [RestaurantRow(id="nyc-2", name="Bar Two", grades="[]")]) == 1
    assert load_rows(dsn, "restaurants", [RestaurantRow(id="nyc-3", name="Bar", grades=None)]) == 1
    assert {row.name for row in held(dsn, "restaurants").values()} == {"Bar", "Bar Two"}
    assert len(held(dsn, "restaurants")) == 5


def test_updates_and_deletes_are_logged_with_the_whole_old_row(dsn: str) -> None:
    identities = (
        "SELECT array_agg(relreplident::text) FROM pg_class WHERE relname IN ('restaurants', 'places', 'users')"
    )
    assert value(dsn, identities) == ["f", "f", "f"]


@pytest.fixture
def plan() -> LiveChanges:
    return plan_changes(Random(5), tables(), 400, datetime(2026, 3, 1, tzinfo=UTC).date())


def test_after_all_changes_the_tables_hold_what_was_expected(dsn: str, plan: LiveChanges) -> None:
    for table, rows in tables().items():
        load_rows(dsn, table, rows)
    applier = ChangeApplier(dsn)
    assert applier.run(plan.changes[: plan.late_from]) == plan.late_from
    assert not {row.id for row in plan.late} & {*held(dsn, "restaurants"), *held(dsn, "places")}
    applier.run(plan.changes[plan.late_from :])
    assert applier.applied == 400
    assert {table: held(dsn, table) for table in plan.expected} == plan.expected


def test_a_second_demo_on_the_same_database_ends_like_the_first(dsn: str, plan: LiveChanges) -> None:
    for _ in range(2):
        for table, rows in tables().items():
            load_rows(dsn, table, rows)
        ChangeApplier(dsn).run(plan.changes)
    assert {table: held(dsn, table) for table in plan.expected} == plan.expected


def test_changes_are_applied_no_faster_than_asked_for(dsn: str, plan: LiveChanges) -> None:
    load_rows(dsn, "users", tables()["users"])
    begun = time.monotonic()
    assert ChangeApplier(dsn, rate=100).run(plan.changes[:31]) == 31
    assert time.monotonic() - begun >= 0.3


def test_applying_stops_when_told_to(dsn: str, plan: LiveChanges) -> None:
    stop = threading.Event()
    stop.set()
    assert ChangeApplier(dsn, rate=1).run(plan.changes, stop) == 0


def test_the_shipped_grades_are_spelled_as_postgres_spells_them(dsn: str) -> None:
    row = plan_changes(Random(1), tables(), 100, date(2026, 3, 1)).expected["restaurants"]
    some = [row[key] for key in sorted(row)[:50]]
    load_rows(dsn, "restaurants", some)
    for key, loaded in held(dsn, "restaurants").items():
        assert isinstance(loaded, RestaurantRow)
        assert loaded == row[key]
        assert json.loads(loaded.grades or "null") is not None


def test_new_tables_begin_with_what_the_package_ships_and_others_stay_as_they_are(server: PostgresServer) -> None:
    server.create_database("half_made")
    dsn = server.dsn("half_made")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE places (id text PRIMARY KEY)")
        connection.execute("INSERT INTO places VALUES ('mine')")
    assert fill_new_tables(dsn) == {"restaurants": len(load_restaurants().rows), "users": 0}
    assert fill_new_tables(dsn) == {}
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT id FROM places").fetchall() == [("mine",)]
