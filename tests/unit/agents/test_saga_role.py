"""In which order the sagas role takes what it reads."""

from pathlib import Path

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
