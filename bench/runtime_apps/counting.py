"""Reads typed events, and with --changelog counts them per user in a state table.

python -m bench.runtime_apps.counting --bootstrap B --topic T --group G --folder F [--changelog C]
"""

import argparse
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.runtime_apps.progress import report, run
from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.batches import Batch
from streams.runtime.state_folder import StateFolder

PARTITIONS = 4


class Event(Struct):
    """The events of bench.peers.dict_producer."""

    event_id: str
    type: str
    user_id: str
    ts: float
    lat: float
    lon: float
    payload: dict[str, Any]


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("--bootstrap", "--topic", "--group", "--folder"):
        parser.add_argument(name, required=True)
    parser.add_argument("--changelog")
    given = parser.parse_args()
    app = StreamApp(
        given.group,
        Connection(bootstrap=given.bootstrap),
        state_folder=StateFolder(Path(given.folder)),
        partitions=PARTITIONS,
    )
    dead_letters = f"{given.topic}.dead"
    if given.changelog is None:

        @app.batches(given.topic, value_type=Event, dead_letters=dead_letters, keeps_state=False, name="work")
        async def decode(batch: Batch[Event]) -> None:
            """Look at each event, as whoever uses them would."""
            users = {event.user_id for event in batch.values}
            assert users

    else:
        counts = app.state("counts", int, changelog=given.changelog)

        @app.batches(given.topic, value_type=Event, dead_letters=dead_letters, name="work")
        async def count(batch: Batch[Event]) -> None:
            view = batch.table(counts)
            for record, event in batch:
                view.update(event.user_id, record, _one_more)

    report(app, {"work"})
    run(app)


def _one_more(count: int | None) -> int:
    return (count or 0) + 1


if __name__ == "__main__":
    main()
