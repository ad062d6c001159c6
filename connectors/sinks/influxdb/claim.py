"""Whose name stands in the bucket: that of the sink that wrote to it last.

Who finds its own name knows that nobody else has written since it put it there, so what it remembers of the bucket
still holds. Who finds another one puts its own there before it looks, and remembers nothing of before.
"""

import time
from collections.abc import Sequence
from uuid import uuid4

from connectors.sinks.errors import Fatal
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.lines import claim_line

_HOUR_NS = 3_600_000_000_000


class Claim:
    """The name of one sink in its bucket; a new one for each sink."""

    def __init__(self, client: InfluxClient) -> None:
        self._client = client
        self._name = uuid4().hex
        self._since: int | None = None  # the time of the point that says it, once the server has taken that

    def begin(self) -> None:
        """Put the name into a bucket that has none: the first one takes the server some time. Raises as `renewed`."""
        if queries.newest_claim(self._client.ask([queries.claims(None)])) is None:
            self.renewed()

    def renewed(self, statements: Sequence[str] = ()) -> queries.Answer | None:
        """Have the name stand there; return the answer to further statements if it has stood there since the last time.

        None: it has not, or was never put there. What is known of before does not hold then, nor what was asked.

        Raises:
            Unavailable: the server does not answer; nothing is known then.
            Fatal: it refuses the name.
        """
        since, self._since = self._since, None
        rows = self._client.ask([queries.claims(since), *(statements if since is not None else ())])
        newest = queries.newest_claim(rows)
        if since is not None and newest == (since, self._name):
            self._since = since
            return rows
        now = time.time_ns()
        # Never before the newest one, whatever the clocks say, or its owner would overlook this one. While that one is
        # recent it is written over: a point for each claim would fill the bucket where several write in turns.
        at = now if newest is None or newest[0] < now - _HOUR_NS else newest[0]
        refusal = self._client.write([claim_line(self._name, at)])
        if refusal is not None:
            raise Fatal(f"InfluxDB refuses the name of its writer: {refusal.reason}")
        self._since = at
        return None
