# pyright: reportUnknownMemberType=false
"""Time series: GPS fixes of 200 travellers, in order of time, beside the client's batcher and lines made before.

Two rows: fixes as a phone sends them (position and speed), and as the router enriches them (nine fields).

Peers: `influxdb-client` with `Point` objects through its batching write API (5,000 a batch, its documentation's way),
and finished lines posted over one connection, 5,000 at a time. Neither compares anything. Ours asks for the versions
of each batch before it writes it; the server is on the same machine, so it does not compress.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from uuid import uuid4

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import WriteOptions
from influxdb_client.domain.write_precision import WritePrecision

from bench.sinks.measured import AT, Bench, batches, deliver, rate
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.lines import line, place_of
from deploy.local.influxdb import InfluxServer
from deploy.local.influxdb.build import VERSION
from schemas.writes import TimeSeriesWrite

POINTS, LINES = "influxdb-client, Points", "raw lines"
POINTS_BAR, LINES_BAR = 3.0, 0.6
BATCH = 5_000
USERS = 200
FIRST = 1_777_000_000_000_000_000
STEP = 5_000_000  # ns: 200 fixes a second
TIMES = 5  # as many writes as of a store that takes some ten thousand a second: of fewer a round is two batches
SENT = ("lat", "lon", "speed")
ENRICHED = (*SENT, "cell", "jump", "late", "distance", "heading", "accuracy")
ROWS = {"influxdb": SENT, "influxdb, enriched": ENRICHED}


def measure(bench: Bench) -> None:
    """Run the row."""
    server = InfluxServer(bench.folder / "influxdb")
    server.start()
    try:
        for row, names in ROWS.items():
            writes = [_fix(number, names) for number in range(TIMES * bench.options.writes)]
            for number in bench.turns:
                _round(bench, server, (row, number), writes)
    finally:
        server.delete()
    for row in ROWS:
        bench.compare(row, POINTS, POINTS_BAR)
        bench.compare(row, LINES, LINES_BAR)
    bench.setup |= {"influxdb": VERSION, "influxdb_client": version("influxdb-client")}


def _round(bench: Bench, server: InfluxServer, turn: tuple[str, int], writes: Sequence[TimeSeriesWrite]) -> None:
    lines = [line(place_of(one), entity=one.entity, versions={}, fields=one.fields) for one in writes]

    def contender(work: Callable[[InfluxOptions, Sequence[InfluxSink]], None]) -> float:
        options = InfluxOptions(url=server.address, token=server.token, bucket=uuid4().hex, gzip=False)
        sinks = [InfluxSink(options) for _ in range(InfluxSink.limits.requests)]
        for sink in sinks:
            sink.open()
        found = rate(len(writes), lambda: work(options, sinks))
        for sink in sinks:
            sink.close()
        _check(options, len(writes))
        return found

    bench.in_turns(
        *turn,
        {
            POINTS: lambda: contender(lambda options, _: _points(options, writes)),
            LINES: lambda: contender(lambda options, _: _raw(options, lines)),
            "ours": lambda: contender(lambda _, sinks: deliver(sinks, writes)),
        },
    )


def _points(options: InfluxOptions, writes: Sequence[TimeSeriesWrite]) -> None:
    batching = WriteOptions(batch_size=BATCH, flush_interval=1_000)
    with (
        InfluxDBClient(options.url, options.token, org=options.organisation) as client,
        client.write_api(write_options=batching) as api,
    ):
        for one in writes:
            point = Point(one.measurement)
            for name, value in one.tags.items():
                point.tag(name, value)
            for name, value in one.fields.items():
                point.field(name, value)
            api.write(options.bucket, record=point.time(one.time_ns, WritePrecision.NS))


def _raw(options: InfluxOptions, lines: Sequence[bytes]) -> None:
    pool = urllib3.PoolManager()
    where = f"{options.url}/api/v2/write?org={options.organisation}&bucket={options.bucket}&precision=ns"
    for batch in batches(lines, BATCH):
        answer = pool.request(
            "POST", where, body=b"\n".join(batch), headers={"Authorization": f"Token {options.token}"}, retries=False
        )
        if answer.status != 204:
            raise SystemExit(f"InfluxDB answered {answer.status}: {answer.data[:200]}")
    pool.clear()


def _check(options: InfluxOptions, count: int) -> None:
    client = InfluxClient(options)
    [(_, _, _, fields)] = client.ask(["SELECT count(lat) FROM gps"])
    client.close()
    if fields["count"] != count:
        raise SystemExit(f"{options.bucket} has {fields['count']} points, not {count}")


def _fix(number: int, names: Sequence[str]) -> TimeSeriesWrite:
    user, time_ns = f"user-{number % USERS}", FIRST + number * STEP
    return TimeSeriesWrite(
        entity=f"gps:{user}:{time_ns}",
        version=time_ns,
        source="gps-events",
        event_id="e",
        occurred_at=AT,
        measurement="gps",
        tags={"user_id": user},
        time_ns=time_ns,
        fields={name: value for name, value in _fields(number).items() if name in names},
    )


def _fields(number: int) -> dict[str, str | int | float | bool]:
    return {
        "lat": 40.7 + number % 9_973 / 1e5,
        "lon": -74.0 + number % 7_919 / 1e5,
        "speed": number % 281 / 11,
        "cell": f"8a2a1072b{number % 997:03x}fff",
        "jump": False,
        "late": False,
        "distance": number % 611 / 7,
        "heading": number % 3_600 / 10,
        "accuracy": 5.0,
    }
