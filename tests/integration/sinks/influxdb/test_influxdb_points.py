"""What the InfluxDB sink does beside the contract, on InfluxDB 2.7."""

import gzip
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import urllib3

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.influxdb.client import InfluxClient
from connectors.sinks.influxdb.lines import line, place_of
from connectors.sinks.influxdb.queries import Answer, removal
from connectors.sinks.influxdb.walking import walk
from deploy.local.influxdb import InfluxServer
from tests.integration.sinks.influxdb.influx_points import SOURCE, TIME, point
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def rows(options: InfluxOptions, measurement: str = "gps") -> Answer:
    client = InfluxClient(options)
    found = client.ask([f'SELECT * FROM "{measurement}" GROUP BY *'])
    client.close()
    return found


def test_a_point_has_its_fields_its_entity_and_the_version_of_its_source(
    sink: InfluxSink, options: InfluxOptions
) -> None:
    fields = {"lat": 40.5, "count": 2**63 - 1, "jump": False, "cell": 'a "b"\n\\ 🗽'}
    assert sink.write([point(0, 7, tags={"user_id": "서울 a,b=c", "mode": "walk"}, fields=fields)]) == [APPLIED]
    assert rows(options) == [
        (
            "gps",
            {"mode": "walk", "user_id": "서울 a,b=c"},
            TIME,
            {**fields, "entity": f"gps:u1:{TIME}", "version.gps-events": 7},
        )
    ]


def test_only_the_lines_of_another_type_are_refused(sink: InfluxSink, options: InfluxOptions) -> None:
    assert sink.write([point(0)]) == [APPLIED]
    outcomes = sink.write([point(1), point(2, fields={"lat": 2}), point(3, fields={"lat": "x"}), point(4)])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, True, False]
    assert "`fields.lat`" in next(outcome.reason for outcome in outcomes if isinstance(outcome, Rejected))
    assert [time_ns - TIME for _, _, time_ns, _ in rows(options)] == [0, 1, 4]
    assert sink.held([(f"gps:u1:{TIME + 2}", SOURCE)]) == {}
    assert sink.write([point(2), point(1)]) == [APPLIED, SUPERSEDED]


def test_a_refused_version_leaves_the_one_before_it_and_lets_the_one_after_it_pass(
    sink: InfluxSink, options: InfluxOptions
) -> None:
    sink.write([point(0, 1, fields={"lat": 1.0, "old": 1})])
    outcomes = sink.write([point(0, 2, fields={"lat": "text"}), point(9)])
    assert isinstance(outcomes[0], Rejected)
    assert rows(options)[0][3] == {"lat": 1.0, "old": 1, "entity": f"gps:u1:{TIME}", "version.gps-events": 1}
    outcomes = sink.write([point(0, 2, fields={"lat": 2.0}), point(0, 3, fields={"lat": "x"}), point(8)])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, False]
    assert sink.held([(f"gps:u1:{TIME}", SOURCE)])[f"gps:u1:{TIME}", SOURCE] == Held(version=2)


def test_a_field_that_a_newer_version_does_not_have_is_gone(sink: InfluxSink, options: InfluxOptions) -> None:
    sink.write([point(0, 1, fields={"lat": 1.0, "place_id": "p1"}), point(1)])
    assert sink.write([point(0, 2, fields={"lat": 2.0})]) == [APPLIED]
    assert [fields for _, _, _, fields in rows(options)] == [
        {"lat": 2.0, "entity": f"gps:u1:{TIME}", "version.gps-events": 2},
        {"lat": 1.0, "entity": f"gps:u1:{TIME + 1}", "version.gps-events": 1},
    ]
    assert sink.write([point(0, 1), point(0, 2)]) == [SUPERSEDED] * 2


def test_a_delete_removes_one_point_and_not_its_neighbours(sink: InfluxSink, options: InfluxOptions) -> None:
    sink.write([point(number, tags={"user_id": "u1", "k y": 'it\'s "a" \\ b'}) for number in range(3)])
    gone = point(1, 2, tags={"user_id": "u1", "k y": 'it\'s "a" \\ b'}, op="delete", fields={})
    assert sink.write([gone]) == [APPLIED]
    assert [time_ns - TIME for _, _, time_ns, _ in rows(options)] == [0, 2]
    assert sink.held([(gone.entity, SOURCE)]) == {(gone.entity, SOURCE): Held(version=2, deleted=True, copies=0)}


def test_versions_of_two_sources_live_in_one_point(sink: InfluxSink, options: InfluxOptions) -> None:
    other = {"source": "import"}
    assert sink.write([point(0, 9), point(0, 3, **other)]) == [APPLIED] * 2
    assert sink.write([point(0, 4, op="delete", **other), point(0, 8)]) == [APPLIED, SUPERSEDED]
    assert rows(options) == []
    key = f"gps:u1:{TIME}"
    held = sink.held([(key, SOURCE), (key, "import")])
    assert held[key, SOURCE] == Held(version=9, deleted=False, copies=0)
    assert held[key, "import"] == Held(version=4, deleted=True, copies=0)
    assert sink.write([point(0, 10)]) == [APPLIED]
    assert sink.held([(key, "import")])[key, "import"] == Held(version=4, deleted=True, copies=1)


def test_what_another_sink_has_written_in_between_is_seen_wherever_it_lies(
    sink: InfluxSink, options: InfluxOptions
) -> None:
    other = InfluxSink(options)
    other.open()
    try:
        assert sink.write([point(0)]) == [APPLIED]
        assert sink.write([point(1)]) == [APPLIED]  # which it knew to be new
        assert other.write([point(1, 5), point(2, 5), point(3, 5), point(4, 5)]) == [APPLIED] * 4
        assert other.write([point(3, 6, op="delete", fields={}), point(4, 6, fields={"speed": 1.5})]) == [APPLIED] * 2
        assert sink.write([point(number, 4) for number in range(5)]) == [APPLIED] + [SUPERSEDED] * 4
        assert sink.write([point(4, 7), point(2, 6)]) == [APPLIED] * 2
        assert other.write([point(2, 5), point(4, 6), point(5)]) == [SUPERSEDED, SUPERSEDED, APPLIED]
    finally:
        other.close()
    found = {time_ns - TIME: fields for _, _, time_ns, fields in rows(options)}
    assert {number: fields["version.gps-events"] for number, fields in found.items()} == {0: 4, 1: 5, 2: 6, 4: 7, 5: 1}
    assert "speed" not in found[4]


def test_while_nobody_else_writes_a_batch_is_one_question_and_one_write(
    sink: InfluxSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{number}" for number in range(20)]
    sink.write([point(number, tags={"user_id": user}) for number, user in enumerate(users)])  # which looks for ends
    asked: list[str] = []
    ask = InfluxClient.ask

    def noted(self: InfluxClient, statements: Sequence[str]) -> Answer:
        asked.extend(statements)
        return ask(self, statements)

    monkeypatch.setattr(InfluxClient, "ask", noted)
    batch = [point(number + 100, 3, tags={"user_id": user}) for number, user in enumerate(users)]
    assert sink.write(batch) == [APPLIED] * 20
    assert sink.write([msgspec.structs.replace(one, version=4) for one in batch]) == [APPLIED] * 20
    assert len(asked) == 2


def test_another_entity_cannot_take_a_point(sink: InfluxSink) -> None:
    [outcome] = sink.write([point(0)]) and sink.write([point(0, 5, entity="another")])
    assert isinstance(outcome, Rejected)
    assert "`entity`" in outcome.reason


def test_a_large_batch_of_many_series_is_read_and_written_as_one(sink: InfluxSink) -> None:
    batch = [
        point(n, tags={"user_id": f"user {n}", "mode": "walk"}, entity=f"gps:user {n}:{TIME + n}") for n in range(3_000)
    ]
    assert sink.write(batch) == [APPLIED] * 3_000
    assert sink.write(batch) == [SUPERSEDED] * 3_000
    assert len(sink.held([(write.entity, SOURCE) for write in batch])) == 3_000


def test_the_bucket_is_made_with_its_retention_which_can_be_changed(options: InfluxOptions) -> None:
    client = InfluxClient(options)
    for hours, seconds in ((48, 172_800), (None, 172_800), (0, 0)):
        sink = InfluxSink(msgspec.structs.replace(options, retention_hours=hours))
        sink.open()
        sink.close()
        bucket = client.bucket()
        assert bucket is not None
        assert bucket.retention == seconds
    client.close()


def test_a_point_older_than_the_retention_is_rejected_and_its_delete_is_done(options: InfluxOptions) -> None:
    sink = InfluxSink(msgspec.structs.replace(options, retention_hours=24 * 365 * 20))
    sink.open()
    now = int(datetime.now(UTC).timestamp()) * 1_000_000_000
    old, new = point(0, time_ns=1_000, entity="old"), point(0, time_ns=now, entity="new")
    outcomes = sink.write([old, new])
    assert isinstance(outcomes[0], Rejected)
    assert "retention" in outcomes[0].reason
    assert outcomes[1] == APPLIED
    assert (
        sink.write([msgspec.structs.replace(old, version=2, op="delete"), point(1, time_ns=now + 1)]) == [APPLIED] * 2
    )
    sink.close()


@pytest.mark.parametrize("compressed", [True, False])
def test_requests_are_compressed_or_not_as_the_option_says(
    options: InfluxOptions, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str | None, bytes]] = []
    request = urllib3.PoolManager.request

    def noted(pool: urllib3.PoolManager, method: str, url: str, **given: Any) -> urllib3.BaseHTTPResponse:
        if "/api/v2/write" in url:
            sent.append((given["headers"].get("Content-Encoding"), given["body"] or b""))
        return request(pool, method, url, **given)

    sink = InfluxSink(msgspec.structs.replace(options, gzip=compressed))
    sink.open()
    monkeypatch.setattr(urllib3.PoolManager, "request", noted)
    assert sink.write([point(n) for n in range(100)]) == [APPLIED] * 100
    monkeypatch.undo()
    sink.close()
    bodies = [gzip.decompress(body) if compressed else body for _, body in sent]
    assert {encoding for encoding, _ in sent} == {"gzip" if compressed else None}
    assert sum(body.count(b"gps,user_id=u1 ") for body in bodies) == 100


def test_what_is_set_up_wrongly_is_fatal_and_names_the_option_and_no_secret(options: InfluxOptions) -> None:
    assert options.token not in repr(options)
    for wrong, says in (
        ({"token": "wr0ng"}, "stores.timeseries.token"),
        ({"organisation": "nobody"}, "stores.timeseries.organisation"),
        ({"create_bucket": False, "bucket": "nowhere"}, "stores.timeseries.create_bucket"),
        ({"url": "http://"}, "stores.timeseries.url"),
    ):
        sink = InfluxSink(msgspec.structs.replace(options, **wrong))
        with pytest.raises(Fatal) as caught:
            sink.open()
        assert says in str(caught.value)
        assert "wr0ng" not in str(caught.value)
        sink.close()


def test_a_lost_server_is_unavailable_and_the_sink_goes_on_when_it_is_back(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = InfluxServer(tmp_path_factory.mktemp("killed"))
    start_server(server)
    sink = InfluxSink(InfluxOptions(url=server.address, token=server.token))
    try:
        sink.open()
        assert sink.write([point(0)]) == [APPLIED]
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([point(1)])
        with pytest.raises(Unavailable):
            sink.open()
        server.start()
        assert sink.write([point(0), point(1)]) == [SUPERSEDED, APPLIED]
    finally:
        sink.close()
        server.delete()


def test_an_undone_point_has_its_fields_with_their_types_and_no_others(
    sink: InfluxSink, options: InfluxOptions
) -> None:
    fields = {"lat": 3.0, "count": 3, "ok": True, "cell": "8a2a", "large": 2**63 - 1}
    sink.write([point(0, 1, fields=fields)])
    before = rows(options)
    overwriting = point(0, 2, fields={"lat": 4.0, "speed": 1.5})
    (undo,) = sink.before([overwriting])
    assert undo is not None
    assert undo.fields == fields
    assert [type(value) for value in undo.fields.values()] == [type(fields[name]) for name in undo.fields]
    assert sink.write([overwriting, msgspec.structs.replace(undo, version=3)]) == [APPLIED] * 2
    [(measurement, tags, time_ns, found)] = rows(options)
    assert (measurement, tags, time_ns, {**found, "version.gps-events": 1}) == before[0]


def test_an_undone_point_that_was_not_there_is_deleted_and_its_neighbours_stay(
    sink: InfluxSink, options: InfluxOptions
) -> None:
    sink.write([point(0), point(2)])
    new = point(1, 5)
    (undo,) = sink.before([new])
    assert undo is not None
    assert (undo.op, undo.fields) == ("delete", {})
    sink.write([new])
    assert sink.write([msgspec.structs.replace(undo, version=6)]) == [APPLIED]
    assert [time_ns - TIME for _, _, time_ns, _ in rows(options)] == [0, 2]
    assert sink.write([msgspec.structs.replace(new, version=5)]) == [SUPERSEDED]


@pytest.mark.parametrize("user", ["u1", "a b'c,d=e", "\uc11c\uc6b8 .*"])
def test_the_points_of_a_person_are_found_and_none_once_they_are_deleted(sink: InfluxSink, user: str) -> None:
    others = [point(8, tags={"user_id": f"{user}x"}, entity="gps:x:8"), point(9, tags={"mode": "walk"}, entity="gps:9")]
    own = [
        point(number, 3, tags={"user_id": user, "mode": mode}, entity=f"gps:{number}", measurement=measurement)
        for number, (mode, measurement) in enumerate([("walk", "gps"), ("bus", "gps"), ("bus", "speed")])
    ]
    assert sink.write([*own, *others]) == [APPLIED] * 5
    found = sink.of_user(user)
    assert {(one.entity, one.version, one.measurement, one.time_ns) for one in found} == {
        (one.entity, 3, one.measurement, one.time_ns) for one in own
    }
    assert sink.write([msgspec.structs.replace(one, version=9) for one in found]) == [APPLIED] * 3
    assert sink.of_user(user) == []
    assert len(sink.of_user(f"{user}x")) == 1


def test_what_another_client_did_to_influxdb_is_found_and_repaired(sink: InfluxSink, options: InfluxOptions) -> None:
    client = InfluxClient(options)
    writes = [point(number, 5, entity=name) for number, name in enumerate(("whole", "removed", "altered", "gone"))]
    gone = msgspec.structs.replace(writes[3], op="delete", version=6, fields={})

    def put(number: int, name: str, version: int) -> None:
        text = line(place_of(point(number)), entity=name, versions={SOURCE: version}, fields={"lat": 99.0})
        assert client.write([text]) is None

    found_and_repaired(
        "timeseries",
        sink,
        [*writes, gone],
        {
            "removed": ("missing", lambda: client.delete(removal(place_of(writes[1])))),
            "altered": ("different", lambda: put(2, "altered", 5)),
            "gone": ("extra", lambda: put(3, "gone", 5)),
            "stranger": ("extra", lambda: put(4, "stranger", 1)),
        },
    )
    client.close()


def test_a_walk_goes_through_more_points_than_are_asked_for_at_once(sink: InfluxSink, options: InfluxOptions) -> None:
    writes = [point(number * 10**12, entity=f"p{number}", tags={"user_id": f"u{number % 3}"}) for number in range(40)]
    same_time = [point(7, entity=f"q{number}", tags={"user_id": f"v{number}"}) for number in range(9)]
    sink.write([*writes, *same_time, msgspec.structs.replace(writes[5], op="delete", version=2, fields={})])
    client = InfluxClient(options)
    walked = [one.entity for one in walk(client, at_once=4)]
    client.close()
    assert sorted(walked) == sorted(
        {f"p{number}" for number in range(40)} - {"p5"} | {f"q{number}" for number in range(9)}
    )
