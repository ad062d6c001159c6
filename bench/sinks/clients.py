# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Each store's own client as a consumer written by hand would use it: no versions, no outcomes, the last write wins.

What a batch writes is beside what the sinks write: under labels, keys and names of its own, in the same server. It
costs the server less: texts are not analysed for Korean, relations have no index, columns are plain texts.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
import msgspec
import neo4j
import psycopg
import redis
from botocore.config import Config
from elasticsearch import Elasticsearch, helpers
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision

from schemas.writes import (
    CacheWrite,
    GraphWrite,
    ObjectWrite,
    RelationalWrite,
    SearchWrite,
    StoreName,
    TimeSeriesWrite,
)

PLACE = "byhand"
THREADS = 8


class Client(ABC):
    """Writes batches."""

    @abstractmethod
    def write(self, batch: Sequence[Any]) -> None:
        """Return when the store has acknowledged all of a batch."""


class Graph(Client):
    """A transaction for each batch, with one UNWIND for each kind of row; a constraint for each label."""

    def __init__(self, given: Mapping[str, str]) -> None:
        driver = neo4j.GraphDatabase.driver(given["url"], auth=(given["username"], given["password"]))
        for label in ("User", "Place", "Activity"):
            made: Any = f"CREATE CONSTRAINT FOR (n:{PLACE}{label}) REQUIRE n.id IS UNIQUE"
            driver.execute_query(made, database_="neo4j")
        self._session = driver.session(database="neo4j")

    def write(self, batch: Sequence[GraphWrite]) -> None:
        groups: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for one in batch:
            statement, row = _row(one)
            groups[statement][one.entity] = row
        with self._session.begin_transaction() as transaction:
            for statement, rows in groups.items():
                transaction.run(statement, rows=list(rows.values())).consume()  # pyright: ignore[reportArgumentType] - no literal
            transaction.commit()


def _row(one: GraphWrite) -> tuple[str, dict[str, Any]]:
    if one.node is not None:
        node = f"UNWIND $rows AS row MERGE (n:{PLACE}{one.node.label} {{id: row.id}})"
        ends = "SET n += row.properties" if one.op == "upsert" else "DETACH DELETE n"
        return f"{node} {ends}", {"id": one.node.id, "properties": one.properties}
    assert one.start is not None, "a relation"
    assert one.end is not None, "a relation"
    relation = (
        f"UNWIND $rows AS row MERGE (a:{PLACE}{one.start.label} {{id: row.start}}) "
        f"MERGE (b:{PLACE}{one.end.label} {{id: row.end}}) MERGE (a)-[r:{one.relation}]->(b)"
    )
    ends = "SET r += row.properties" if one.op == "upsert" else "DELETE r"
    return f"{relation} {ends}", {"start": one.start.id, "end": one.end.id, "properties": one.properties}


class Search(Client):
    """A bulk request for each batch; the mapping is made by what comes."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._client = Elasticsearch(given["url"], basic_auth=(given["username"], given["password"]))

    def write(self, batch: Sequence[SearchWrite]) -> None:
        _, errors = helpers.bulk(self._client, map(_action, batch), raise_on_error=False)
        assert isinstance(errors, list), "details were not declined"
        failed = [one for one in errors if one.get("delete", {}).get("status") != _NOT_THERE]
        if failed:
            raise helpers.BulkIndexError(f"{len(failed)} documents were refused", failed)


_NOT_THERE = 404  # also an answer to a delete


def _action(one: SearchWrite) -> dict[str, Any]:
    action = {"_index": PLACE, "_id": one.entity}
    if one.op == "delete":
        return {**action, "_op_type": "delete"}
    location = {"lat": one.lat, "lon": one.lon}
    content = {"kind": one.kind, "name": one.name, "text": one.text, "location": location, "score": one.score}
    return {**action, "_source": content}


class TimeSeries(Client):
    """A synchronous write of `Point` objects for each batch, and a request for each delete."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._client = InfluxDBClient(given["url"], given["token"], org=given["organisation"])
        self._bucket = given["bucket"]
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, batch: Sequence[TimeSeriesWrite]) -> None:
        points = [_point(one) for one in batch if one.op == "upsert"]
        if points:
            self._api.write(self._bucket, record=points)
        for one in batch:
            if one.op == "delete":
                moment = _rfc3339(one.time_ns)
                tags = " AND ".join(f'{name}="{value}"' for name, value in one.tags.items())
                self._client.delete_api().delete(moment, moment, f'_measurement="{PLACE}" AND {tags}', self._bucket)


def _rfc3339(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def _point(one: TimeSeriesWrite) -> Point:
    point = Point(PLACE)
    for name, value in one.tags.items():
        point.tag(name, value)
    for name, value in one.fields.items():
        point.field(name, value)
    return point.time(one.time_ns, WritePrecision.NS)


class Objects(Client):
    """A put for each object, in threads."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=given["endpoint"],
            aws_access_key_id=given["access_key"],
            aws_secret_access_key=given["secret_key"],
            region_name=given["region"],
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=2 * THREADS),
        )
        self._client.create_bucket(Bucket=PLACE)
        self._pool = ThreadPoolExecutor(THREADS)

    def write(self, batch: Sequence[ObjectWrite]) -> None:
        last = {one.entity: one for one in batch}  # of one object one request at a time, or the older may win
        list(self._pool.map(self._one, last.values()))

    def _one(self, one: ObjectWrite) -> None:
        if one.op == "delete":
            self._client.delete_object(Bucket=PLACE, Key=one.key)
        else:
            self._client.put_object(Bucket=PLACE, Key=one.key, Body=one.data, ContentType=one.content_type)


class Cache(Client):
    """A pipeline for each batch, with the geo index and the watchers that ours keeps."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._client = redis.Redis.from_url(given["url"], password=given["password"])
        self._encode = msgspec.json.Encoder().encode

    def write(self, batch: Sequence[CacheWrite]) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for one in batch:
                key, value = f"{PLACE}:{one.key}", self._encode(one.value)
                if one.op == "delete":
                    pipe.delete(key)
                    pipe.zrem(f"{PLACE}:geo", one.key)
                else:
                    assert one.value is not None, "an upsert"
                    pipe.set(key, value, ex=one.ttl_seconds)
                    pipe.geoadd(f"{PLACE}:geo", (one.value["lon"], one.value["lat"], one.key))
                pipe.publish(f"{PLACE}:changes:{one.key}", value)
            pipe.execute()


class Relational(Client):
    """A transaction for each batch: INSERT ... ON CONFLICT by `executemany`, which psycopg sends as a pipeline."""

    COLUMNS = ("user_id", "text", "conversation_id", "role", "sent_at")

    def __init__(self, given: Mapping[str, str]) -> None:
        self._connection = psycopg.connect(given["url"])
        columns = ", ".join(f"{name} text" for name in self.COLUMNS)
        self._connection.execute(f"CREATE TABLE {PLACE} (key text PRIMARY KEY, {columns})")  # pyright: ignore[reportArgumentType] - constants
        self._connection.commit()
        names, values = ", ".join(self.COLUMNS), ", ".join(f"%({name})s" for name in self.COLUMNS)
        taken = ", ".join(f"{name} = EXCLUDED.{name}" for name in self.COLUMNS)
        self._upsert: Any = (
            f"INSERT INTO {PLACE} (key, {names}) VALUES (%(key)s, {values}) ON CONFLICT (key) DO UPDATE SET {taken}"
        )
        self._delete: Any = f"DELETE FROM {PLACE} WHERE key = %(key)s"

    def write(self, batch: Sequence[RelationalWrite]) -> None:
        last = {one.key: one for one in batch}.values()
        upserts = [{"key": one.key, **one.columns} for one in last if one.op == "upsert"]
        deletes = [{"key": one.key} for one in last if one.op == "delete"]
        with self._connection.cursor() as cursor:
            for statement, rows in ((self._upsert, upserts), (self._delete, deletes)):
                if rows:
                    cursor.executemany(statement, rows)
        self._connection.commit()


CLIENTS: Mapping[StoreName, Callable[[Mapping[str, str]], Client]] = {
    "graph": Graph,
    "search": Search,
    "timeseries": TimeSeries,
    "objects": Objects,
    "cache": Cache,
    "relational": Relational,
}
