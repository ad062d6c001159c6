"""The search sink on a real Elasticsearch."""

import hashlib
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import Any

import msgspec
import pytest
from elasticsearch import Elasticsearch

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.conformance.subject import deliver
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected, Sink
from connectors.sinks.elasticsearch import ElasticsearchOptions, ElasticsearchSink, reindex
from connectors.sinks.elasticsearch.documents import document_id
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from deploy.local.elasticsearch import ElasticsearchServer
from schemas.writes import SearchWrite
from tests.integration.sinks.elasticsearch.search_writes import SOURCE, write
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = pytest.mark.integration


def found(client: Elasticsearch, options: ElasticsearchOptions, query: dict[str, Any]) -> list[dict[str, Any]]:
    client.indices.refresh(index=options.write_alias)
    hits = client.search(index=options.index, query=query, size=100)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def named(client: Elasticsearch, options: ElasticsearchOptions, query: dict[str, Any]) -> set[str]:
    return {source["name"] for source in found(client, options, query)}


@contextmanager
def blocked(client: Elasticsearch, index: str) -> Generator[None]:
    """An index that takes nothing is what Elasticsearch makes of a full disk (which it looks at twice a minute)."""
    client.indices.put_settings(index=index, settings={"index.blocks.write": True})
    yield
    client.indices.put_settings(index=index, settings={"index.blocks.write": None})


class TestElasticsearch(SinkConformance[SearchWrite]):
    options: ElasticsearchOptions
    client: Elasticsearch

    @pytest.fixture
    def place(self, options: ElasticsearchOptions, client: Elasticsearch) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        self.options, self.client = options, client
        return "elasticsearch"

    def sink(self, place: str) -> ElasticsearchSink:
        return ElasticsearchSink(self.options)

    def full(self, place: str, sink: Sink[SearchWrite]) -> AbstractContextManager[object]:
        return blocked(self.client, self.options.write_alias)

    def stranger(self, place: str) -> ElasticsearchSink:
        return ElasticsearchSink(msgspec.structs.replace(self.options, password="another"))

    def good(self, entity: str, version: int, source: str, content: int) -> SearchWrite:
        return SearchWrite(
            **self.common(entity, version, source),
            kind="restaurant",
            name="w" + hashlib.sha256(entity.encode()).hexdigest(),
            text=f"serves {content}",
            lat=40 + content % 7 / 10,
            lon=-74.0,
            fields={"content": content},
        )

    def bad(self, entity: str, version: int, source: str) -> SearchWrite:
        return SearchWrite(**self.common(entity, version, source), name="nowhere", lat=95.0, lon=0.0)

    def content(self, place: str, entity: str) -> int | None:
        documents = found(self.client, self.options, {"term": {"entity": entity}})
        assert len(documents) <= 1
        if not documents:
            return None
        words = {"match": {"name": documents[0]["name"]}}
        assert [one["entity"] for one in found(self.client, self.options, words)] == [entity]
        return documents[0]["fields"]["content"]


def test_english_words_are_found_by_their_stems_without_accents(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    sink.write([write("a", name="Café Müller", text="Serves running sushi"), write("b", name="Diner")])
    for words in ("cafe", "MULLER", "run", "serving"):
        query = {"multi_match": {"query": words, "fields": ["name", "text"]}}
        assert named(client, options, query) == {"Café Müller"}, words


def test_korean_words_are_found_within_others(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    sink.write([write("a", name="서울맛집"), write("b", name="부산횟집")])
    assert named(client, options, {"match": {"name.korean": {"query": "맛집", "operator": "and"}}}) == {"서울맛집"}
    assert named(client, options, {"match": {"name.korean": {"query": "서울", "operator": "and"}}}) == {"서울맛집"}


def test_positions_scores_and_fields_are_searchable(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    sink.write(
        [
            write("a", name="near", lat=40.7, lon=-74.0, score=0.9, fields={"cuisine": "thai", "stars": 3}),
            write("b", name="far", lat=41.7, lon=-74.0, score=0.5, fields={"cuisine": "thai", "stars": "three"}),
        ]
    )
    around = {"geo_distance": {"distance": "5km", "location": {"lat": 40.71, "lon": -74.0}}}
    assert named(client, options, around) == {"near"}
    assert named(client, options, {"range": {"score": {"gte": 0.6}}}) == {"near"}
    assert named(client, options, {"term": {"fields.cuisine": "thai"}}) == {"near", "far"}
    assert named(client, options, {"term": {"fields.stars": "three"}}) == {"far"}


def test_a_tombstone_outlives_what_elasticsearch_remembers_of_deletes(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    client.indices.put_settings(index=options.write_alias, settings={"index.gc_deletes": "0ms"})
    assert sink.write([write("a", 1), write("a", 5, op="delete")]) == [APPLIED] * 2
    client.indices.refresh(index=options.write_alias)
    client.indices.forcemerge(index=options.write_alias, max_num_segments=1)
    assert sink.write([write("a", 4)]) == [SUPERSEDED]
    assert sink.held([("a", SOURCE)]) == {("a", SOURCE): Held(version=5, deleted=True, copies=0)}
    assert found(client, options, {"match_all": {}}) == []


def test_readers_see_one_document_of_an_entity_that_two_sources_write(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    assert sink.write([write("a", 100, "first")]) == [APPLIED]
    assert sink.write([write("a", 3, "second", source="other"), write("b", 1, "b", source="other")]) == [APPLIED] * 2
    assert named(client, options, {"match_all": {}}) == {"second", "b"}
    assert sink.write([write("a", 101, "third"), write("a", 2, "late", source="other")]) == [APPLIED, SUPERSEDED]
    assert named(client, options, {"match_all": {}}) == {"third", "b"}
    assert sink.write([write("a", 4, source="other", op="delete")]) == [APPLIED]
    assert named(client, options, {"match_all": {}}) == {"b"}
    assert sink.held([("a", SOURCE), ("a", "other")]) == {
        ("a", SOURCE): Held(version=101, copies=0),
        ("a", "other"): Held(version=4, deleted=True, copies=0),
    }


def test_what_json_or_the_earth_does_not_have_is_rejected_by_name(sink: ElasticsearchSink) -> None:
    outcomes = sink.write(
        [
            write("a", lat=95.0, lon=0.0),
            write("b", lat=1.0),
            write("c", score=float("nan")),
            write("d", fields={"price": float("inf")}),
            write("e", name="\ud800"),
            write("f", lat=0.0, lon=180.0),
        ]
    )
    reasons = [outcome.reason if isinstance(outcome, Rejected) else "" for outcome in outcomes]
    assert "`lat`" in reasons[0]
    assert reasons[1] == "`lat` and `lon` come together"
    assert "`score`" in reasons[2]
    assert "`fields.price`" in reasons[3]
    assert reasons[4]
    assert outcomes[5] == APPLIED


def test_what_elasticsearch_itself_refuses_is_one_dead_letter(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    odd = write("odd", name="n", fields={"a\0b": "x"})
    outcomes = sink.write([write("a", 1, "before"), odd, write("b", 1, "after")])
    assert outcomes[0] == outcomes[2] == APPLIED
    assert isinstance(outcomes[1], Rejected)
    assert sink.held([("odd", SOURCE)]) == {}
    assert named(client, options, {"terms": {"entity": ["a", "b"]}}) == {"before", "after"}


def test_a_request_over_the_servers_limits_is_too_large_and_a_smaller_one_fits(sink: ElasticsearchSink) -> None:
    batch = [write(f"e{number}", text="x" * 30_000_000) for number in range(4)]
    with pytest.raises(BatchTooLarge):
        sink.write(batch)
    assert sink.held([(one.entity, SOURCE) for one in batch]) == {}
    with pytest.raises(BatchTooLarge):  # a server lends a tenth of its memory to indexing: with 512 MB not enough
        sink.write([write("large", text="x" * 20_000_000)])
    assert sink.write([write("smaller", text="x" * 5_000_000)]) == [APPLIED]


def test_an_index_is_made_anew_while_it_is_written_and_read(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    entities = [f"e{number}" for number in range(3_000)]
    deliver(sink, [write(entity, 1, entity) for entity in entities])
    deliver(sink, [write("gone", 1), write("gone", 7, op="delete"), write("of-other", 1, source="other")])
    failures: list[BaseException] = []
    enough = Event()
    version = 1

    def keep_writing() -> None:
        nonlocal version
        try:
            writer = ElasticsearchSink(options)
            writer.open()
            while not enough.is_set() or version < 5:
                version += 1
                deliver(writer, [write(entity, version, entity) for entity in entities[::7]])
            writer.close()
        except BaseException as error:  # noqa: BLE001 - a thread cannot fail a test by itself
            failures.append(error)

    def keep_reading() -> None:
        try:
            while not enough.is_set():
                counted = client.count(index=options.index, query={"prefix": {"entity": "e"}})["count"]
                assert counted == len(entities)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    client.indices.refresh(index=options.write_alias)
    threads = [Thread(target=keep_writing), Thread(target=keep_reading)]
    for thread in threads:
        thread.start()
    done = reindex(options)
    enough.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (done.old, done.new) == (f"{options.index}-1", f"{options.index}-2")
    assert done.documents >= len(entities)
    assert list(client.indices.get_alias(name=options.index).body) == [done.new]
    held = dict(sink.held([(entity, SOURCE) for entity in (*entities, "gone")]))
    assert held.pop(("gone", SOURCE)) == Held(version=7, deleted=True, copies=0)
    assert {entity: one.version for (entity, _), one in held.items()} == {
        entity: version if number % 7 == 0 else 1 for number, entity in enumerate(entities)
    }
    assert sink.write([write("gone", 6), write("new", 1)]) == [SUPERSEDED, APPLIED]


def test_an_alias_that_is_lost_is_unavailable_and_made_again(
    sink: ElasticsearchSink, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    client.indices.delete_alias(index=f"{options.index}-1", name=options.write_alias)
    with pytest.raises(Unavailable):
        sink.write([write("a")])
    assert not client.indices.exists(index=options.write_alias)
    sink.close()
    sink.open()
    assert sink.write([write("a")]) == [APPLIED]


def test_a_mapping_that_is_another_one_is_told_at_the_start(
    elasticsearch_server: ElasticsearchServer, client: Elasticsearch, options: ElasticsearchOptions
) -> None:
    client.indices.create(
        index=f"{options.index}-1",
        mappings={"properties": {"location": {"type": "keyword"}}},
        aliases={options.index: {}, options.write_alias: {}},
    )
    with pytest.raises(Fatal, match="location"):
        ElasticsearchSink(options).open()
    client.indices.put_index_template(name=options.index, index_patterns=["none-*"])


def test_a_wrong_password_of_elasticsearch_is_fatal_and_names_the_option_and_no_secret(
    elasticsearch_server: ElasticsearchServer,
) -> None:
    wrong = ElasticsearchOptions(url=elasticsearch_server.address, username="elastic", password="wr0ng-secret")
    with pytest.raises(Fatal) as caught:
        ElasticsearchSink(wrong).open()
    assert "stores.search.password" in str(caught.value)
    assert "wr0ng-secret" not in str(caught.value)


@pytest.mark.slow
def test_a_lost_elasticsearch_is_unavailable_and_the_sink_goes_on_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, start_server: Callable[[Any], Any]
) -> None:
    server = start_server(ElasticsearchServer(tmp_path_factory.mktemp("killed-elasticsearch"), heap="256m"))
    sink = ElasticsearchSink(ElasticsearchOptions(url=server.address, username="elastic", password=server.password))
    try:
        sink.open()
        assert sink.write([write("a", 1, "kept")]) == [APPLIED]
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([write("b")])
        sink.close()
        with pytest.raises(Unavailable):
            sink.open()
        server.start()
        sink.open()
        assert sink.write([write("a", 1), write("b", 1)]) == [SUPERSEDED, APPLIED]
    finally:
        sink.close()
        server.delete()


def test_what_another_client_did_to_elasticsearch_is_found_and_repaired(
    sink: ElasticsearchSink, options: ElasticsearchOptions, client: Elasticsearch
) -> None:
    named = [write(name, 5, "Café") for name in ("whole", "removed", "altered", "gone")]
    stray = {"entity": "stray", "source": "by hand", "name": "nobody wrote it"}
    back = {"entity": "gone", "source": SOURCE, "version": 6, "name": "Café"}

    def document(entity: str) -> str:
        return document_id(entity, SOURCE)

    index = options.write_alias
    found_and_repaired(
        "search",
        sink,
        [*named, write("gone", 6, op="delete")],
        {
            "removed": ("missing", lambda: client.delete(index=index, id=document("removed"))),
            "altered": ("different", lambda: client.update(index=index, id=document("altered"), doc={"name": "Cafe"})),
            "gone": ("extra", lambda: client.index(index=index, id=document("gone"), document=back)),
            "stray": ("extra", lambda: client.index(index=index, id=document("stray"), document=stray)),
        },
    )
