"""After an erasure no byte of any file says what the person said: stores, segments of Kafka, state, archive, logs."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.archive.reading import check, topics_in
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from streams.archive import storage_of
from tests.integration.pipeline.people import SEALING, Person, certificates, forget, publish_sealed
from tests.integration.raw_search import where

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

ARCHIVED = {**SEALING, "archive.enabled": True, "archive.file_seconds": 1.0}
ANN, BERT = Person("annabel"), Person("bertram")


def segments(kafka_server: KafkaServer, pipeline: Any) -> list[Path]:
    """Return the folders of the partitions of this test."""
    return sorted((kafka_server.folder / "data").glob(f"{pipeline.options.kafka.topic_prefix}*"))


def tables_of(postgres_server: PostgresServer, pipeline: Any) -> Path:
    """Return the folder of the files of this test's database, after what waits in memory was written."""
    with psycopg.connect(pipeline.options.stores.relational.url.get_secret_value(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        folder = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    assert folder is not None
    return Path(str(folder[0])) / "base" / str(row[0])


def check_archive(pipeline: Any) -> list[Any]:
    """Return what is wrong with the archive, every object of it read."""
    storage = storage_of(pipeline.options)
    storage.open()
    found = [one for topic in topics_in(storage) for one in check(storage, topic, content=True) if not one.whole]
    storage.close()
    return found


@pytest.mark.parametrize("pipeline", [ARCHIVED], indirect=True)
def test_no_file_says_what_an_erased_person_said_and_everything_before_it_was_there(
    pipeline: Any, kafka_server: KafkaServer, postgres_server: PostgresServer
) -> None:
    for role in ("ingest", "deliver", "sagas", "archive"):
        pipeline.start(role, role)
    publish_sealed(pipeline, ANN)
    pipeline.publish(list(BERT.events()))
    last = [len(list(one.events())) for one in (ANN, BERT)]

    def rows() -> list[int]:
        with pipeline.readers().warehouse() as reader:
            return [len(reader.query("SELECT 1 FROM events WHERE user_id = ?", (one.user,))) for one in (ANN, BERT)]

    pipeline.settle()
    pipeline.wait_for(lambda: rows() == last, "all is written")
    archive = pipeline.options.data_dir / "archive"
    pipeline.wait_for(lambda: where([archive], BERT.words), "the archive has the last events")

    # What the search finds before: in the stores both, in the topics and the archive what came unsealed.
    stores, data = pipeline.options.data_dir / "stores", pipeline.options.data_dir
    topics = segments(kafka_server, pipeline)
    everywhere = where([stores, tables_of(postgres_server, pipeline)], [*ANN.words, *BERT.words])
    assert {word for found in everywhere.values() for word in found} == {*ANN.words, *BERT.words}
    assert where([*topics, archive], ANN.words) == {}
    plain = {Path(path).parent.name.rpartition("-")[0] for path in where(topics, BERT.words)}
    raw = {pipeline.catalogue.user_events.name, pipeline.catalogue.urgent_events.name}
    assert plain == raw

    pipeline.publish([forget(ANN)])
    pipeline.start("erasure", "erasure")
    pipeline.wait_for(lambda: certificates(pipeline), "it is over")
    pipeline.settle()
    assert where([data, *topics, tables_of(postgres_server, pipeline)], ANN.words) == {}
    assert where([stores], BERT.words)
    assert where([archive], BERT.words)

    # Of whom did not seal, what brokers keep until their retention is all there is left.
    pipeline.publish([forget(BERT)])
    pipeline.wait_for(lambda: len(certificates(pipeline)) == 2, "it is over")
    pipeline.settle()
    pipeline.stop()
    assert where([data, tables_of(postgres_server, pipeline)], BERT.words) == {}
    left = {Path(path).parent.name.rpartition("-")[0] for path in where(topics, BERT.words)}
    assert left <= {one.where.removeprefix("topic ") for one in certificates(pipeline)[-1].statement.remains}
    assert certificates(pipeline)[-1].statement.archived == last[1] + 1  # what they said, and that they asked
    assert check_archive(pipeline) == []
    assert pipeline.letters() == []
