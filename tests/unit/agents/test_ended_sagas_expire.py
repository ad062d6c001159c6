"""State of ended sagas is kept for `sagas.keep_hours`, and no longer."""

from pathlib import Path
from typing import Any, cast

from schemas.sagas import SagaEntry
from streams.agents.sagas import Tables
from streams.app import build
from streams.runtime.tables import StateTable
from streams.sagas.line import Line
from streams.settings import load
from tests.unit.agents.saga_world import World, pair

DAY_MS = 24 * 3_600_000


async def test_a_saga_that_has_ended_is_known_for_as_long_as_it_is_kept_and_begins_again_after_that(stage: Any) -> None:
    now_ms = 1_000_000
    app = stage.app
    ended = StateTable(
        app, "ended", SagaEntry, changelog="ended-log", ttl_seconds=DAY_MS // 1_000, clock=lambda: now_ms
    )
    lines = cast("StateTable[Line]", app.state("lines", Line, changelog="lines-log"))
    world = World(stage, Tables(lines=lines, ended=ended))
    start = pair()

    async def told_again() -> int:
        before = len(world.sent())
        await world.take(world.start(start))
        return len(world.sent()) - before

    await world.take(world.start(start))
    await world.done(start)
    assert world.told(start).status == "completed"
    now_ms += DAY_MS - 1
    assert await told_again() == 0
    now_ms += 2
    assert await told_again() == 2


async def test_the_option_says_how_long_it_is_kept(tmp_path: Path) -> None:
    given = {"data_dir": str(tmp_path), "kafka.bootstrap": "127.0.0.1:1", "sagas.enabled": True, "sagas.keep_hours": 2}
    app = build("sagas", load(environ={}, overrides=given).options)
    table = cast(Any, app.tables)["ended"]
    assert table.data._ttl_seconds == 2 * 3_600
    await app.on_shutdown()
