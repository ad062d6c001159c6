"""The relational sink on a real PostgreSQL."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.postgres import RelationalReader, RelationalSink, batch
from connectors.sinks.postgres.schema import LOCK, MIGRATIONS
from connectors.sinks.reader import QueryRefused
from deploy.local.postgres import PostgresServer
from schemas.writes import RelationalWrite
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = pytest.mark.integration

SOURCE = "user-events"
AT = datetime(2026, 5, 1, tzinfo=UTC)
TOO_LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(4_000))  # for a b-tree, compressed too


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    return postgres_server


@pytest.fixture
def dsn(server: PostgresServer) -> str:
    name = f"t{uuid4().hex}"
    server.create_database(name)
    return server.dsn(name)


@pytest.fixture(params=[batch.FEW, 0], ids=["as few", "as many"])
def sink(dsn: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[RelationalSink]:
    monkeypatch.setattr(batch, "FEW", request.param)
    sink = RelationalSink(dsn)
    sink.open()
    yield sink
    sink.close()


def write(table: str, key: str, version: int, columns: dict[str, Any] | None = None, **fields: Any) -> RelationalWrite:
    named: dict[str, Any] = {"entity": f"{table}:{key}", "source": SOURCE, "table": table, **fields}
    return RelationalWrite(
        version=version, event_id=f"e{version}", occurred_at=AT, key=key, columns=columns or {}, **named
    )


def rows(dsn: str, statement: str) -> list[dict[str, Any]]:
    with RelationalReader(dsn) as reader:
        return reader.query(statement)


def test_every_type_of_column_comes_back_as_it_was(sink: RelationalSink, dsn: str) -> None:
    outcomes = sink.write(
        [
            write(
                "trips", "t1", 1, {"title": "서울 🗽", "destinations": ["a,b", '"q"', ""], "starts_on": "2026-05-01"}
            ),
            write("bookings", "b1", 1, {"amount": 12.34, "guests": 2, "starts_at": "2026-05-01T10:00:00.123456+02:00"}),
            write("urgent_requests", "r1", 1, {"lat": 40.712345678901, "lon": -74, "text": None}),
            write("erasure_requests", "x1", 1),
        ]
    )
    assert outcomes == [APPLIED] * 4
    [trip] = rows(dsn, "SELECT * FROM trips")
    assert (trip["title"], trip["destinations"], trip["starts_on"]) == ("서울 🗽", ["a,b", '"q"', ""], date(2026, 5, 1))
    [booking] = rows(dsn, "SELECT amount::text AS amount, guests, starts_at FROM bookings")
    assert booking == {
        "amount": "12.34",
        "guests": 2,
        "starts_at": datetime(2026, 5, 1, 8, 0, 0, 123456, tzinfo=UTC),
    }
    assert rows(dsn, "SELECT lat, lon, text FROM urgent_requests") == [
        {"lat": 40.712345678901, "lon": -74.0, "text": None}
    ]
    assert rows(dsn, "SELECT key, reason FROM erasure_requests") == [{"key": "x1", "reason": None}]


def test_a_plan_that_comes_after_the_start_fills_in_the_title_and_leaves_the_status(
    sink: RelationalSink, dsn: str
) -> None:
    planned = write("trips", "t1", 1, {"title": "Boston", "status": "planned", "destinations": ["Boston"]})
    started = write("trips", "t1", 2, {"status": "started", "started_at": "2026-05-01T10:00:00Z"})
    assert sink.write([started]) == [APPLIED]
    assert sink.write([planned]) == [APPLIED]
    assert sink.write([planned, started]) == [SUPERSEDED] * 2
    assert rows(dsn, "SELECT title, status FROM trips") == [{"title": "Boston", "status": "started"}]
    identity = ("trips:t1", SOURCE)
    assert sink.held([identity]) == {identity: Held(version=2)}


def test_columns_that_are_not_named_keep_their_value(sink: RelationalSink, dsn: str) -> None:
    sink.write([write("bookings", "b1", 1, {"place_id": "p1", "guests": 2, "status": "made"})])
    sink.write([write("bookings", "b1", 2, {"status": "cancelled"}), write("bookings", "b1", 3, {"guests": None})])
    assert rows(dsn, "SELECT place_id, guests, status FROM bookings") == [
        {"place_id": "p1", "guests": None, "status": "cancelled"}
    ]


def test_a_delete_and_what_comes_after_it_in_one_batch(sink: RelationalSink, dsn: str) -> None:
    sink.write([write("trips", "t1", 1, {"title": "old", "status": "planned"})])
    sink.write([write("trips", "t1", 2, op="delete"), write("trips", "t1", 3, {"status": "started"})])
    assert rows(dsn, "SELECT title, status FROM trips") == [{"title": None, "status": "started"}]
    sink.write([write("trips", "t1", 5, {"title": "new"}), write("trips", "t1", 4, op="delete")])
    assert rows(dsn, "SELECT title, status FROM trips") == [{"title": "new", "status": None}]


def test_each_bad_write_is_rejected_with_its_own_reason(sink: RelationalSink) -> None:
    outcomes = sink.write(
        [
            write("trips", "t1", 1, {"title": "good"}),
            write("trips", "t2", 1, {"nonsense": 1}),
            write("messages", "m1", 1, {"user_id": TOO_LONG}),
            write("trips", "t3", 1, {"destinations": ["a\0b"]}),
            write("trips", "another", 2, {"title": "better"}, entity="trips:t1"),
            write("trips", "t1", 3, {"title": "best"}),
        ]
    )
    reasons = [outcome.reason if isinstance(outcome, Rejected) else "" for outcome in outcomes]
    assert reasons[0] == reasons[5] == ""
    assert "no column `nonsense`" in reasons[1]
    assert "index row" in reasons[2]
    assert "`destinations`" in reasons[3]
    assert "`key`" in reasons[4]


def test_a_lost_server_is_unavailable_and_the_sink_goes_on_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = PostgresServer(tmp_path_factory.mktemp("killed"))
    server.start()
    sink = RelationalSink(server.dsn())
    try:
        sink.open()
        assert sink.write([write("trips", "t1", 1, {"title": "kept"})]) == [APPLIED]
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([write("trips", "t2", 1)])
        with pytest.raises(Unavailable):
            sink.open()
        server.start()
        assert sink.write([write("trips", "t1", 1), write("trips", "t2", 1)]) == [SUPERSEDED, APPLIED]
        assert len(sink.held([("trips:t1", SOURCE), ("trips:t2", SOURCE)])) == 2
    finally:
        sink.close()
        server.delete()


def test_a_session_ended_by_an_administrator_is_unavailable_once(sink: RelationalSink, server: PostgresServer) -> None:
    sink.write([write("trips", "t1", 1)])
    with psycopg.connect(server.dsn(), autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'travelos'"
        )
    with pytest.raises(Unavailable):
        sink.write([write("trips", "t2", 1)])
    assert sink.write([write("trips", "t2", 1)]) == [APPLIED]


def test_a_wrong_password_is_fatal_and_names_the_option_and_no_secret(server: PostgresServer) -> None:
    with pytest.raises(Fatal) as caught:
        RelationalSink(server.dsn().replace(server.password, "wr0ng")).open()
    assert "stores.relational.url" in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_database_that_is_not_there_is_fatal(server: PostgresServer) -> None:
    with pytest.raises(Fatal, match="does not exist"):
        RelationalSink(server.dsn("nowhere")).open()


def test_a_user_without_rights_is_told_at_the_start(server: PostgresServer, dsn: str, sink: RelationalSink) -> None:
    user = f"u{uuid4().hex[:8]}"
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute(
            f"CREATE ROLE {user} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA travelos TO {user}".encode()
        )
        as_user = dsn.replace(f"postgres:{server.password}", f"{user}:x")
        with pytest.raises(Fatal, match=r"permission denied.*stores\.relational\.url"):
            RelationalSink(as_user).open()
        administrator.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA travelos TO {user}".encode())
    limited = RelationalSink(as_user)
    limited.open()  # which needs no right to create, because everything is there
    assert limited.write([write("trips", "t1", 1)]) == [APPLIED]
    limited.close()


def test_a_column_that_is_missing_is_added_and_one_of_another_type_is_fatal(sink: RelationalSink, dsn: str) -> None:
    sink.close()
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute("ALTER TABLE travelos.trips DROP COLUMN status")
        sink.open()
        assert sink.write([write("trips", "t1", 1, {"status": "planned"})]) == [APPLIED]
        sink.close()
        administrator.execute("ALTER TABLE travelos.trips ALTER COLUMN title TYPE varchar(10)")
    with pytest.raises(Fatal, match=r"trips\.title is character varying\(10\) and must be text"):
        sink.open()


def test_a_database_of_before_there_were_migrations_is_brought_up_and_keeps_what_it_holds(
    sink: RelationalSink, dsn: str
) -> None:
    sink.write([write("trips", "t1", 5, {"title": "kept"})])
    sink.close()
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute("ALTER TABLE travelos.versions ALTER COLUMN columns TYPE jsonb USING '{\"title\": 5}'")
        administrator.execute("DROP TABLE travelos.migrations")
    sink.open()
    assert sink.write([write("trips", "t1", 4, {"title": "late"}), write("trips", "t1", 6, {"status": "planned"})]) == [
        SUPERSEDED,
        APPLIED,
    ]
    assert rows(dsn, "SELECT title, status FROM trips") == [{"title": "kept", "status": "planned"}]
    assert [row["number"] for row in rows(dsn, "SELECT number FROM migrations ORDER BY applied_at, number")] == [
        number for number, _ in enumerate(MIGRATIONS, start=1)
    ]


def test_workers_that_start_at_once_apply_each_migration_once(dsn: str) -> None:
    sinks = [RelationalSink(dsn) for _ in range(6)]
    with ThreadPoolExecutor(len(sinks)) as pool:
        list(pool.map(RelationalSink.open, sinks))
    outcomes = [sink.write([write("trips", f"t{number}", 1)]) for number, sink in enumerate(sinks)]
    assert outcomes == [[APPLIED]] * len(sinks)
    for sink in sinks:
        sink.close()
    found = rows(dsn, "SELECT number, name FROM migrations ORDER BY number")
    assert found == [{"number": number, "name": one.name} for number, one in enumerate(MIGRATIONS, start=1)]


def test_a_schema_of_a_newer_release_is_refused_and_not_touched(sink: RelationalSink, dsn: str) -> None:
    sink.close()
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute("INSERT INTO travelos.migrations (number, name) VALUES (99, 'of tomorrow')")
        administrator.execute("DROP TABLE travelos.bookings")
    with pytest.raises(Fatal, match=r"migration 99 of a newer release.*stores\.relational\.url"):
        sink.open()
    assert rows(dsn, "SELECT to_regclass('travelos.bookings') AS found") == [{"found": None}]


def test_two_sinks_of_one_worker_write_the_shares_of_their_keys_side_by_side(dsn: str) -> None:
    writes = [write("messages", f"m{n}", v, {"text": f"{v}"}) for v in (1, 2, 3) for n in range(400)]
    sinks = [RelationalSink(dsn) for _ in range(2)]
    for sink in sinks:
        sink.open()
    shares = [[one for one in writes if int(one.key[1:]) % 2 == share] for share in range(2)]
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(sink.write, share) for sink, share in zip(sinks, shares, strict=True)]
        assert [one.result() for one in writing] == [[APPLIED] * 600] * 2
    for sink in sinks:
        sink.close()
    assert rows(dsn, "SELECT text, count(*) AS n FROM messages GROUP BY 1") == [{"text": "3", "n": 400}]


def test_a_line_that_another_process_made_meanwhile_is_not_written_over(sink: RelationalSink, dsn: str) -> None:
    """The zombie has read that there is no line, and writes when there is one."""
    with psycopg.connect(dsn) as other:
        other.execute(
            """
            INSERT INTO travelos.versions
                (entity, source, table_name, key, version, deleted, removed, columns, revision)
            VALUES ('trips:t1', %s, 'trips', 't1', 9, false, -1, '{"title":9}', 1)
            """,
            (SOURCE,),
        )
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(sink.write, [write("trips", "t1", 1, {"title": "old"})])
            while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not written.done()
            other.commit()
            with pytest.raises(Unavailable, match="another process"):
                written.result()
    assert sink.write([write("trips", "t1", 1, {"title": "old"})]) == [SUPERSEDED]
    assert rows(dsn, "SELECT * FROM trips") == []


def test_a_row_that_nobody_wrote_through_a_sink_keeps_what_a_write_does_not_name(
    sink: RelationalSink, dsn: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("INSERT INTO travelos.trips (key, title) VALUES ('t2', 'theirs')")
    writes = [write("trips", f"t{number}", 1, {"status": "planned"}) for number in (1, 2, 3)]
    assert sink.write(writes) == [APPLIED] * 3
    assert rows(dsn, "SELECT key, title, status FROM trips ORDER BY key") == [
        {"key": f"t{number}", "title": title, "status": "planned"}
        for number, title in ((1, None), (2, "theirs"), (3, None))
    ]


def test_sources_and_entities_that_share_a_row_add_to_it(sink: RelationalSink, dsn: str) -> None:
    assert sink.write([write("trips", "t1", 5, {"title": "Boston"})]) == [APPLIED]
    assert sink.write([write("trips", "t1", 1, {"status": "planned"}, source="partner")]) == [APPLIED]
    assert sink.write([write("trips", "t1", 1, {"user_id": "u1"}, entity="trips:other")]) == [APPLIED]
    assert rows(dsn, "SELECT title, status, user_id FROM trips") == [
        {"title": "Boston", "status": "planned", "user_id": "u1"}
    ]


def test_what_copy_gives_a_meaning_to_is_stored_as_it_is(sink: RelationalSink, dsn: str) -> None:
    texts = ["\\N", "\\.", "a\tb", "a\nb\r", "\\", '"', "", "{}", "NULL", "\\x41"]
    assert sink.write(
        [write("trips", f"t{n}\\{text}", 1, {"title": text, "place_ids": texts}) for n, text in enumerate(texts)]
    ) == [APPLIED] * len(texts)
    found = rows(dsn, "SELECT key, title, place_ids FROM trips ORDER BY split_part(key, E'\\\\', 1)")
    assert found == [{"key": f"t{n}\\{text}", "title": text, "place_ids": texts} for n, text in enumerate(texts)]


def test_a_batch_finds_its_lines_by_their_index_however_many_there_are(sink: RelationalSink, dsn: str) -> None:
    read_whole = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'travelos' AND relname = 'versions'"
    sink.close()  # only then the server has counted everything: the migrations read the table, too
    before = rows(dsn, read_whole)
    sink.open()
    for start in range(0, 6_000, 2_000):
        writes = [write("trips", f"t{number}", 1) for number in range(start, start + 2_000)]
        assert sink.write(writes) == [APPLIED] * 2_000
    sink.close()
    assert rows(dsn, read_whole) == before


def test_the_tables_live_beside_those_of_others(dsn: str, server: PostgresServer) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.messages (theirs int)")
    sink = RelationalSink(dsn)
    sink.open()
    assert sink.write([write("messages", "m1", 1, {"text": "ours"})]) == [APPLIED]
    assert rows(dsn, "SELECT text FROM messages") == [{"text": "ours"}]
    sink.close()


def test_a_reader_cannot_write(sink: RelationalSink, dsn: str) -> None:
    with RelationalReader(dsn) as reader:
        with pytest.raises(QueryRefused, match="read-only"):
            reader.query("DELETE FROM trips")
        with pytest.raises(QueryRefused, match="nonsense"):
            reader.query("SELECT nonsense FROM trips")
        assert reader.counts()["trips"] == 0


def test_a_schema_that_is_there_is_opened_while_another_process_is_stuck_migrating(
    sink: RelationalSink, dsn: str
) -> None:
    sink.close()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dsn) as stuck:
        stuck.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        pool.submit(sink.open).result(timeout=20)
    assert sink.write([write("trips", "t1", 1)]) == [APPLIED]


def test_what_another_client_did_to_postgres_is_found_and_repaired(sink: RelationalSink, dsn: str) -> None:
    def by_hand(statement: str) -> Callable[[], object]:
        def run() -> None:
            with psycopg.connect(dsn) as connection:
                connection.execute(statement.encode())

        return run

    columns = {"user_id": "u1", "guests": 2, "amount": 12.5}
    writes = [write("bookings", key, 5, columns) for key in ("whole", "removed", "altered", "gone")]
    found_and_repaired(
        "relational",
        sink,
        [*writes, write("bookings", "gone", 6, op="delete")],
        {
            "bookings:removed": ("missing", by_hand("DELETE FROM travelos.bookings WHERE key = 'removed'")),
            "bookings:altered": ("different", by_hand("UPDATE travelos.bookings SET guests = 3 WHERE key = 'altered'")),
            "bookings:gone": ("extra", by_hand("INSERT INTO travelos.bookings (key) VALUES ('gone')")),
            "bookings:stray": ("extra", by_hand("INSERT INTO travelos.bookings (key) VALUES ('stray')")),
        },
    )
