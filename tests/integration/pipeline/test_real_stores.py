"""The whole pipeline with every store on its real server, chosen by the variables that `travelos local up` prints."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from typer.testing import CliRunner

from connectors.sinks.contract import APPLIED
from connectors.sinks.elasticsearch.purging import FORCED
from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.neo4j import Neo4jServer
from schemas.events import Event, GpsUpdate, MessageSent, PhotoTaken, PreferenceStated, TripStarted
from schemas.writes import STORES, CacheWrite, GraphWrite, NodeRef, SearchWrite, StoreName, TimeSeriesWrite, Write
from streams.cli import local, sinks
from streams.settings import load
from streams.stores import sink_of
from tests.integration.pipeline.people import SEALING, Person, certificates, forget, publish_sealed
from tests.integration.raw_search import where

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

START = datetime.now(UTC) - timedelta(hours=2)
REAL = ["graph", "search", "timeseries", "objects", "cache"]


@pytest.fixture(scope="module")
def neo4j(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="module")
def elasticsearch(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ElasticsearchServer]:
    server = ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture
def environ(
    pipeline: Any,
    neo4j: Neo4jServer,
    elasticsearch: ElasticsearchServer,
    influx_server: Any,
    redis_server: Any,
    s3_server: Any,
) -> dict[str, str]:
    """The variables of the pipeline and of all servers."""
    given = dict(pipeline.environment)
    for server in (neo4j, elasticsearch, influx_server, redis_server, s3_server):
        given |= local.variables(server.name, server)
    return {name: value for name, value in given.items() if name.startswith("TRAVELOS_")}


def picture(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), (number % 256, 100, 200)).save(file, "PNG")
    return file.getvalue()


def events(count: int) -> list[Event]:
    made: list[Event] = []
    for number in range(count):
        stamp: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 20}",
            "occurred_at": START + timedelta(seconds=number),
        }
        match number % 5:
            case 0:
                made.append(TripStarted(**stamp, trip_id=f"t{number}"))
            case 1:
                made.append(PreferenceStated(**stamp, category="cuisine", value=f"c{number % 7}", strength=0.5))
            case 2:
                made.append(MessageSent(**stamp, conversation_id="c", role="user", text=f"message {number}"))
            case 3:
                made.append(PhotoTaken(**stamp, photo_id=f"p{number}", content_type="image/png", data=picture(number)))
            case _:
                made.append(GpsUpdate(**stamp, lat=40.7, lon=-74 + number / 1e5))
    return made


def test_every_store_on_its_real_server_holds_what_went_in_also_after_the_worker_was_killed(
    pipeline: Any, environ: dict[str, str], tmp_path: Path
) -> None:
    options = load(environ=environ).options
    assert sorted(store for store in STORES if options.stores.of(store).kind != "embedded") == sorted(REAL)
    checked = CliRunner().invoke(sinks.app, ["check", "--json"], env=environ)
    assert checked.exit_code == 0, checked.output
    verdict = type(pipeline)(options, environ).through_a_kill(events(3_000))
    found = {one.store: (one.expected, one.found, one.problems[:3]) for one in verdict.report.stores if one.problems}
    assert (found, verdict.report.problems) == ({}, [])
    assert {report.store: report.found for report in verdict.report.stores}["graph"] > 0


def written_by_hand(person: Person) -> dict[StoreName, Write]:
    """Return writes of a person's words to stores that get few of them by our rules; the document is nobody's."""
    common: dict[str, Any] = {"version": 1, "source": "notes", "event_id": "e", "occurred_at": START}
    user = person.user
    return {
        "graph": GraphWrite(
            entity=f"user:{user}",
            node=NodeRef("User", user),
            properties={"name": person.name, "about": person.text},
            **common,
        ),
        "search": SearchWrite(entity=f"note:{user}", kind="note", name=person.name, text=person.text, **common),
        "timeseries": TimeSeriesWrite(
            entity=f"note:{user}",
            measurement="notes",
            tags={"user_id": user},
            time_ns=1_777_000_000_000_000_000,
            fields={"note": person.text},
            **common,
        ),
        "cache": CacheWrite(entity=f"note:{user}", key=f"note:{user}", value={"note": person.text}, **common),
    }


def named(person: Person, words: Sequence[str]) -> set[str]:
    """Return which of a person's words these are."""
    return {name for name in ("name", "email", "phone", "message") if getattr(person, name) in words}


def apply(options: Any, writes: dict[StoreName, Write]) -> None:
    for store, write in writes.items():
        sink: Any = sink_of(store, options)
        try:
            sink.open()
            assert sink.write([write]) == [APPLIED]
        finally:
            sink.close()


@pytest.mark.parametrize("pipeline", [SEALING], indirect=True)
def test_real_servers_files_say_nothing_of_an_erased_person_but_what_the_certificate_names(
    pipeline: Any,
    environ: dict[str, str],
    neo4j: Neo4jServer,
    elasticsearch: ElasticsearchServer,
    influx_server: Any,
    redis_server: Any,
    s3_server: Any,
) -> None:
    ann, bert = Person("annabel"), Person("bertram")
    pipeline = type(pipeline)(load(environ=environ).options, environ)
    folders: dict[StoreName, Path] = {
        "graph": neo4j.folder,
        "search": elasticsearch.folder,
        "timeseries": influx_server.folder,
        "cache": redis_server.folder,
        "objects": s3_server.folder,
    }

    def readable(person: Person) -> dict[StoreName, set[str]]:
        return {
            store: {name for words in where([folder], person.words).values() for name in named(person, words)}
            for store, folder in folders.items()
        }

    def holding(person: Person) -> set[StoreName]:
        return {store for store, words in readable(person).items() if words}

    try:
        for role in ("ingest", "deliver", "sagas"):
            pipeline.start(role, role)
        publish_sealed(pipeline, ann)
        pipeline.publish(list(bert.events()))
        for person in (ann, bert):
            apply(pipeline.options, written_by_hand(person))
        pipeline.settle()
        # Each word in each store: one that a search does not find before says nothing afterwards.
        everything = {store: {"name", "email", "phone", "message"} for store in folders}
        pipeline.wait_for(lambda: readable(ann) == readable(bert) == everything, "every store has all in its files")
        # Documents are nobody's, and an erasure leaves them alone; but what is deleted of them is in no file after it.
        document = msgspec.structs.replace(written_by_hand(ann)["search"], op="delete", version=2)
        apply(pipeline.options, {"search": document})

        pipeline.publish([forget(ann)])
        pipeline.start("erasure", "erasure")
        pipeline.wait_for(lambda: certificates(pipeline), "it is over", seconds=240)
        pipeline.settle()
    finally:
        pipeline.stop()

    said = certificates(pipeline)[0].statement.stores
    assert {store: said[store].found for store in STORES} == dict.fromkeys(STORES, 0)
    assert holding(bert) == {*folders}
    kept = holding(ann)
    assert kept <= {store for store in folders if said[store].keeps}, kept
    assert kept == {"graph", "timeseries"}  # whoever makes one of them forget has to say so
    assert {store: said[store].forced for store in ("search", "cache", "relational")} == {
        "search": FORCED,
        "cache": "BGREWRITEAOF, BGSAVE",
        "relational": "VACUUM FULL",
    }
    graph = {Path(path).relative_to(neo4j.folder).parts[1:3] for path in where([neo4j.folder], ann.words)}
    assert graph <= {("data", "transactions"), ("data", "databases")}
    assert {Path(path).suffix for path in where([influx_server.folder], ann.words)} <= {".wal", ".tsm"}
    assert pipeline.letters() == []
