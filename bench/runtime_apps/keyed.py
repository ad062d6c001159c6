"""Keeps a large table, and tells how long it took to restore it.

python -m bench.runtime_apps.keyed --bootstrap B --topic T --group G --folder F --changelog C
"""

import argparse
import time
from pathlib import Path

from bench.runtime_apps.progress import report, run, tell
from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.batches import Batch
from streams.runtime.state_folder import StateFolder

PARTITIONS = 4


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("--bootstrap", "--topic", "--group", "--folder", "--changelog"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    app = StreamApp(
        given.group,
        Connection(bootstrap=given.bootstrap),
        state_folder=StateFolder(Path(given.folder)),
        partitions=PARTITIONS,
    )
    totals = app.state("totals", int, changelog=given.changelog)
    applied: list[tuple[float, int]] = []
    totals.on_restored(lambda _, records, __: applied.append((time.monotonic(), records)))

    async def tell_restored() -> None:
        """Tell, once tables are restored, how long that took from the end of the first batch; it is not counted."""
        first, *rest = applied
        records = sum(count for _, count in rest)
        seconds = (time.monotonic() - first[0]) * (records + first[1]) / records
        tell(restored={"records": records + first[1], "seconds": seconds})

    @app.batches(given.topic, value_type=int, dead_letters=f"{given.topic}.dead", name="work")
    async def add(batch: Batch[int]) -> None:
        view = batch.table(totals)
        for record, more in batch:
            view.update(record.key or b"", record, lambda old, more=more: (old or 0) + more)

    app.background(tell_restored)
    report(app, {"work"})
    run(app)


if __name__ == "__main__":
    main()
