"""Go through all points of a bucket, some thousand at a time."""

from collections.abc import Iterator

from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.persons import delete_of
from schemas.writes import TimeSeriesWrite

AT_ONCE = 5_000


def walk(client: InfluxClient, at_once: int = AT_ONCE) -> Iterator[TimeSeriesWrite]:
    """Yield a delete of each point, in the order of time; a point that names no entity is not one of ours.

    A range of time that has more than `at_once` points is halved until it has not. Raises as `InfluxClient.ask`.
    """
    edges = [time_ns for _, _, time_ns, _ in client.ask(queries.EDGES)]
    ranges = [(min(edges), max(edges))] if edges else []
    while ranges:
        first, last = ranges.pop()
        counts = client.ask([queries.count_between(first, last)])
        if first < last and sum(row["count"] for _, _, _, row in counts) > at_once:
            middle = (first + last) // 2
            ranges += [(middle + 1, last), (first, middle)]
        elif counts:
            yield from _points(client, first, last)


def _points(client: InfluxClient, first: int, last: int) -> Iterator[TimeSeriesWrite]:
    for point, state in queries.states(client.ask([queries.states_between(first, last)])).items():
        if state.present and state.entity is not None:
            source = max(state.latest())
            yield delete_of(
                TimeSeriesWrite,
                state.entity,
                source,
                state.latest()[source].version,
                measurement=point.measurement,
                tags=dict(point.tags),
                time_ns=point.time_ns,
            )
