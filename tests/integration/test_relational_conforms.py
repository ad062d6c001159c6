"""The conformance kit on a real PostgreSQL."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.postgres import RelationalReader, RelationalSink
from deploy.local.postgres import PostgresServer
from schemas.writes import RelationalWrite

pytestmark = pytest.mark.integration

TOO_LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(4_000))  # for a b-tree, compressed too
NO_ROOM = """
CREATE FUNCTION travelos.no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON travelos.messages FOR EACH ROW EXECUTE FUNCTION travelos.no_room();
"""


class TestRelational(SinkConformance[RelationalWrite]):
    server: PostgresServer

    @pytest.fixture
    def place(self, postgres_server: PostgresServer) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        self.server = postgres_server
        name = f"t{uuid4().hex}"
        postgres_server.create_database(name)
        return postgres_server.dsn(name)

    def sink(self, place: str) -> RelationalSink:
        return RelationalSink(place)

    def full(self, place: str, sink: Sink[RelationalWrite]) -> AbstractContextManager[object]:
        return without_room(place)

    def stranger(self, place: str) -> RelationalSink:
        return RelationalSink(place.replace(self.server.password, "another"))

    def hang_up(self, place: str) -> bool:
        with psycopg.connect(place, autocommit=True) as administrator:
            ended = administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        return len(ended) > 0

    def good(self, entity: str, version: int, source: str, content: int) -> RelationalWrite:
        columns: dict[str, Any] = {"user_id": "u1", "text": f"{content}", "sent_at": "2026-05-01T12:00:00Z"}
        return RelationalWrite(**self.common(entity, version, source), table="messages", key=entity, columns=columns)

    def bad(self, entity: str, version: int, source: str) -> RelationalWrite:
        columns: dict[str, Any] = {"user_id": TOO_LONG}  # found out by the server alone
        return RelationalWrite(**self.common(entity, version, source), table="messages", key=entity, columns=columns)

    def content(self, place: str, entity: str) -> int | None:
        with RelationalReader(place) as reader:
            found = reader.query("SELECT text FROM messages WHERE key = %s", [entity])
            return int(found[0]["text"]) if found else None


@contextmanager
def without_room(dsn: str) -> Generator[None]:
    """The server answers as on a full disk, by its own error of that class, where a row would be added."""
    with psycopg.connect(dsn, autocommit=True) as administrator:
        administrator.execute(NO_ROOM.encode())
        yield
        administrator.execute("DROP FUNCTION travelos.no_room CASCADE")
