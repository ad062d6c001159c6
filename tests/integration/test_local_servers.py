# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Every server of `deploy/local`, for real: installed, started, written to, stopped, killed, started again."""

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psycopg
import pytest
import redis
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from elasticsearch import AuthenticationException, ConflictError, Elasticsearch
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from neo4j import GraphDatabase
from neo4j.exceptions import AuthError
from typer.testing import CliRunner

from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.influxdb import InfluxServer
from deploy.local.kafka import KafkaServer
from deploy.local.neo4j import Neo4jServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import start_time
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server
from deploy.local.server import Server
from deploy.local.servers import KINDS
from streams.cli import local

# InfluxDB and the S3 server are built the first time.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1_800)]

S = TypeVar("S", bound=Server)
PATIENCE = (
    60.0  # seconds for one request: the first index of a cold node took more than the client's ten on a busy machine
)


class Client(NamedTuple):
    """What a test does with a server: write a text, read it back, log in with a wrong password where there is one."""

    write: Callable[[Any, str], None]
    read: Callable[[Any], str]
    intrude: Callable[[Any], None] | None = None
    refusal: type[Exception] = Exception


def write_kafka(server: KafkaServer, text: str) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    for created in admin.create_topics([NewTopic("notes", num_partitions=1, replication_factor=1)]).values():
        created.result()
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all"})
    producer.produce("notes", text.encode())
    assert producer.flush(30) == 0


def read_kafka(server: KafkaServer) -> str:
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused"})
    try:
        consumer.assign([TopicPartition("notes", 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        value = message.value()
        assert value is not None
        return value.decode()
    finally:
        consumer.close()


def write_postgres(server: PostgresServer, text: str) -> None:
    server.create_database("notes")
    with psycopg.connect(server.dsn("notes")) as connection:
        connection.execute("CREATE TABLE notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", (text,))


def read_postgres(server: PostgresServer) -> str:
    with psycopg.connect(server.dsn("notes")) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        row = connection.execute("SELECT text FROM notes").fetchone()
        assert row is not None
        return row[0]


def intrude_postgres(server: PostgresServer) -> None:
    psycopg.connect(server.dsn().replace(server.password, "wrong")).close()


def write_neo4j(server: Neo4jServer, text: str) -> None:
    with GraphDatabase.driver(server.address, auth=("neo4j", server.password)) as driver:
        driver.execute_query("CREATE CONSTRAINT FOR (n:Note) REQUIRE n.id IS UNIQUE")
        driver.execute_query("MERGE (n:Note {id: 1}) SET n.text = $text", text=text)


def read_neo4j(server: Neo4jServer) -> str:
    with GraphDatabase.driver(server.address, auth=("neo4j", server.password)) as driver:
        return driver.execute_query("MATCH (n:Note {id: 1}) RETURN n.text AS text").records[0]["text"]


def intrude_neo4j(server: Neo4jServer) -> None:
    with GraphDatabase.driver(server.address, auth=("neo4j", "wrong")) as driver:
        driver.verify_connectivity()


def write_elasticsearch(server: ElasticsearchServer, text: str) -> None:
    with Elasticsearch(server.url, request_timeout=PATIENCE) as client:
        client.index(index="notes", id="1", document={"text": text}, refresh=True)


def read_elasticsearch(server: ElasticsearchServer) -> str:
    with Elasticsearch(server.url, request_timeout=PATIENCE) as client:
        return client.get(index="notes", id="1")["_source"]["text"]


def intrude_elasticsearch(server: ElasticsearchServer) -> None:
    with Elasticsearch(server.address, request_timeout=PATIENCE) as nobody, pytest.raises(AuthenticationException):
        nobody.info()
    with Elasticsearch(server.address, basic_auth=("elastic", "wrong"), request_timeout=PATIENCE) as client:
        client.index(index="notes", id="1", document={})


def influx(server: InfluxServer, token: str) -> InfluxDBClient:
    return InfluxDBClient(server.address, token, org=server.organisation, timeout=int(PATIENCE * 1_000))


def write_influxdb(server: InfluxServer, text: str) -> None:
    with influx(server, server.token) as client, client.write_api(write_options=SYNCHRONOUS) as api:
        api.write(server.bucket, record=Point("notes").tag("user", "1").field("text", text))


def read_influxdb(server: InfluxServer) -> str:
    with influx(server, server.token) as client:
        query = f'from(bucket: "{server.bucket}") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "notes")'
        (table,) = client.query_api().query(query)
        return table.records[0].get_value()


def intrude_influxdb(server: InfluxServer) -> None:
    with influx(server, "wrong") as client:
        client.query_api().query("buckets()")


def write_s3(server: S3Server, text: str) -> None:
    server.create_bucket("notes")
    server.client().put_object(Bucket="notes", Key="a/note.txt", Body=text.encode(), IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        server.client().put_object(Bucket="notes", Key="a/note.txt", Body=b"other", IfNoneMatch="*")


def read_s3(server: S3Server) -> str:
    body: io.BytesIO = server.client().get_object(Bucket="notes", Key="a/note.txt")["Body"]
    return body.read().decode()


def intrude_s3(server: S3Server) -> None:
    other = S3Server(server.folder / "other-credentials", port=server.port)
    other.client().list_buckets()


def write_redis(server: RedisServer, text: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("note", text)


def read_redis(server: RedisServer) -> str:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return str(client.get("note"))


def intrude_redis(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url.replace(server.password, "wrong")) as client:
        client.ping()


CLIENTS = {
    "kafka": Client(write_kafka, read_kafka),
    "postgres": Client(write_postgres, read_postgres, intrude_postgres, psycopg.OperationalError),
    "neo4j": Client(write_neo4j, read_neo4j, intrude_neo4j, AuthError),
    "elasticsearch": Client(write_elasticsearch, read_elasticsearch, intrude_elasticsearch, AuthenticationException),
    "influxdb": Client(write_influxdb, read_influxdb, intrude_influxdb, ApiException),
    "s3": Client(write_s3, read_s3, intrude_s3, ClientError),
    "redis": Client(write_redis, read_redis, intrude_redis, redis.AuthenticationError),
}
TEXT = "noodles at the pier"


@pytest.fixture(scope="module", params=list(KINDS))
def server(
    request: pytest.FixtureRequest,
    start_server: Callable[[Server], Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A running server of each kind that holds a text."""
    server = KINDS[request.param](tmp_path_factory.mktemp(request.param))
    start_server(server)
    try:
        CLIENTS[server.name].write(server, TEXT)
        yield server
    finally:
        server.delete()


def test_there_is_a_client_for_every_kind() -> None:
    assert CLIENTS.keys() == KINDS.keys()


def test_what_its_own_client_writes_is_read_back(server: Server) -> None:
    assert CLIENTS[server.name].read(server) == TEXT


def test_a_wrong_password_is_refused(server: Server) -> None:
    client = CLIENTS[server.name]
    if client.intrude is None:
        assert server.secret_names == ()
        return
    with pytest.raises(client.refusal):
        client.intrude(server)


def test_no_secret_is_in_its_arguments_or_its_log(server: Server) -> None:
    arguments = Path(f"/proc/{server.process.pid}/cmdline").read_text()
    log = server.process.log_file.read_text()
    for name in server.secret_names:
        assert server.secret(name) not in arguments
        assert server.secret(name) not in log
        assert (server.folder / name).stat().st_mode & 0o777 == 0o600


def test_it_listens_on_the_loopback_interface_only(server: Server) -> None:
    assert server.process.pid is not None
    files = Path(f"/proc/{server.process.pid}/fd").iterdir()
    sockets = {str(file.readlink()) for file in files if file.is_symlink()}
    listening: list[str] = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1].partition(":")[0])
    loopback = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}
    assert listening
    assert set(listening) <= loopback


def test_stopped_and_started_again_it_holds_its_data(server: Server) -> None:
    pid = server.process.pid
    assert pid is not None
    server.stop()
    assert start_time(pid) is None
    assert not server.answers()
    server.start()
    assert CLIENTS[server.name].read(server) == TEXT


def test_killed_and_started_again_it_holds_its_data(server: Server) -> None:
    pid = server.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server.start()
    assert server.process.pid != pid
    assert CLIENTS[server.name].read(server) == TEXT


def test_another_object_finds_it_running_and_stops_it(server: Server) -> None:
    pid = server.process.pid
    assert pid is not None
    later = KINDS[server.name](server.folder, port=server.port)
    assert later.process.pid == pid
    assert later.answers()
    later.stop()
    assert start_time(pid) is None


def test_elasticsearch_has_what_the_search_store_needs(
    tmp_path: Path, start_server: Callable[[ElasticsearchServer], ElasticsearchServer]
) -> None:
    server = start_server(ElasticsearchServer(tmp_path))
    properties = {
        "name": {"type": "text", "analyzer": "english"},
        "location": {"type": "geo_point"},
        "vector": {"type": "dense_vector", "dims": 2, "similarity": "cosine"},
    }
    try:
        with Elasticsearch(server.url, request_timeout=PATIENCE) as client:
            assert client.info()["version"]["number"].startswith("9.")
            client.indices.create(index="places", mappings={"properties": properties})
            place = {"name": "Running noodles", "location": {"lat": 40.7, "lon": -74.0}, "vector": [1.0, 0.1]}
            client.index(index="places", id="1", document=place, version=5, version_type="external", refresh=True)
            with pytest.raises(ConflictError):
                client.index(index="places", id="1", document=place, version=4, version_type="external")
            near = {"distance": "1km", "location": {"lat": 40.7, "lon": -74.0}}
            query = {"bool": {"must": {"match": {"name": "run noodle"}}, "filter": {"geo_distance": near}}}
            assert client.search(index="places", query=query)["hits"]["total"]["value"] == 1
            knn = {"field": "vector", "query_vector": [1.0, 0.0], "k": 1, "num_candidates": 10}
            assert client.search(index="places", knn=knn)["hits"]["hits"][0]["_id"] == "1"
    finally:
        server.delete()


def test_the_command_starts_servers_side_by_side_that_outlive_it(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(local.app, [*words, "--folder", str(tmp_path)])
        assert result.exit_code == 0, result.output
        return result.output

    try:
        printed = run("up", "postgres", "redis", "--port-offset", "100")
        assert "TRAVELOS_SOURCE_DSN=postgresql://postgres:********@127.0.0.1:15532/travel" in printed
        rows = {row["name"]: row for row in json.loads(run("status", "--json"))}
        assert {row["state"] for row in rows.values()} == {"running"}
        dsn = local.variables("postgres", PostgresServer(tmp_path / "postgres", port=15_532))["TRAVELOS_SOURCE_DSN"]
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("travel",)
        data = (tmp_path / "postgres" / "data").resolve()
        run("down", "redis")
        assert {row["state"] for row in json.loads(run("status", "--json"))} == {"running", "stopped"}
    finally:
        run("down", "--delete-data")
    assert json.loads(run("status", "--json")) == []
    assert not data.exists()
    assert not (tmp_path / "postgres").exists()
