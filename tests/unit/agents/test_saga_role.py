"""How the roles are made that sagas run in: what goes first, and what is told of stores that cannot take back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome
from streams.app import RECEIPTS_MAY_WAIT, build
from streams.settings import load


async def test_receipts_and_commands_go_before_new_sagas(tmp_path: Path) -> None:
    environ = {
        "TRAVELOS_DATA_DIR": str(tmp_path),
        "TRAVELOS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "TRAVELOS_SAGAS_ENABLED": "true",
        "TRAVELOS_SAGAS_DECLARED": "tests.unit.agents.saga_world:DECLARED",
    }
    options = load(environ=environ).options
    app, catalogue = build("sagas", options), options.catalogue()
    assert app.urgent_topics == {catalogue.saga_receipts.name, catalogue.saga_commands.name, "payments.done"}
    assert catalogue.saga_starts.name in app.lanes

    app.urgency.arrived(RECEIPTS_MAY_WAIT)
    assert app.urgency.is_calm, "a steady rate is no backlog"
    app.urgency.arrived(1)
    assert not app.urgency.is_calm
    await app.on_shutdown()


class Forgetful:
    """A sink of somebody else's that cannot tell what it held."""

    limits = Limits()

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        return [APPLIED for _ in batch]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {}


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_a_store_that_could_not_take_back_what_sagas_write_is_told_of_at_the_start(
    tmp_path: Path, enabled: str
) -> None:
    environ = {
        "TRAVELOS_DATA_DIR": str(tmp_path),
        "TRAVELOS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "TRAVELOS_SAGAS_ENABLED": enabled,
        "TRAVELOS_SAGAS_DECLARED": "tests.unit.agents.saga_world:DECLARED",
        "TRAVELOS_STORES_SEARCH_KIND": f"{__name__}:Forgetful",
    }
    options = load(environ=environ).options
    with capture_logs() as logs:
        app = build("deliver", options)
    told = [line for line in logs if line["event"] == "saga_steps_cannot_be_taken_back"]
    assert [line["store"] for line in told] == (["search"] if enabled == "true" else [])
    if told:
        assert "pair.found" in told[0]["steps"]
    await app.on_shutdown()
