# pyright: reportUnknownMemberType=false
"""A sink as a relational store is one: it takes a write only when its version is newer, in one statement."""

from collections import Counter
from collections.abc import Iterable

import apsw

from bench.chaos.events import Output

_SCHEMA = (
    "CREATE TABLE last_event (key TEXT PRIMARY KEY, version INTEGER NOT NULL, event INTEGER NOT NULL) WITHOUT ROWID"
)
_WRITE = """
INSERT INTO last_event (key, version, event) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET version = excluded.version, event = excluded.event
WHERE excluded.version > last_event.version
"""


def applied(outputs: Iterable[Output]) -> Counter[int]:
    """Write all outputs, in order, and return how often each event had an effect.

    The version of an output is the place of its event in the sequence of its key, which is the source's order.
    """
    times: Counter[int] = Counter()
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(_SCHEMA)
        with connection:
            for output in outputs:
                connection.execute(_WRITE, (output.key, output.told.seq, output.told.event))
                times[output.told.event] += connection.changes()
        return times
    finally:
        connection.close()
