# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Objects: photos of 20 kB, beside `put_object` of boto3 in threads.

Peer: one client, eight threads, a put without a condition for each object
(https://docs.aws.amazon.com/boto3/latest/guide/clients.html). It compares nothing and keeps no index.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

import boto3
from botocore.config import Config

from bench.sinks.measured import AT, Bench, deliver, rate
from connectors.sinks.s3 import S3Options, S3Sink
from deploy.local.s3 import S3Server
from deploy.local.s3.server import VERSION
from schemas.writes import ObjectWrite

BAR = 0.9
PEER = "boto3 put in threads"
THREADS = 8
OBJECT_BYTES = 20_000
WRITES_FOR_EACH = 20  # an object takes some twenty times what a row of another store takes


def measure(bench: Bench) -> None:
    """Run the row."""
    server = S3Server(bench.folder / "s3")
    server.start()
    try:
        client = boto3.client(
            "s3",
            endpoint_url=server.address,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=server.region,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=2 * THREADS),
        )
        writes = [_photo(number) for number in range(bench.options.writes // WRITES_FOR_EACH)]
        for number in bench.turns:
            contenders = {
                PEER: partial(_peer, server, client, f"peer-{number}", writes),
                "ours": partial(_ours, server, client, f"ours-{number}", writes),
            }
            bench.in_turns("s3", number, contenders)
        client.close()
    finally:
        server.delete()
    bench.compare("s3", PEER, BAR)
    bench.setup |= {"versitygw": VERSION, "boto3": version("boto3"), "object_bytes": OBJECT_BYTES}


def _peer(server: S3Server, client: Any, bucket: str, writes: Sequence[ObjectWrite]) -> float:
    server.create_bucket(bucket)
    found = rate(len(writes), lambda: _put(client, bucket, writes))
    _check(client, bucket, len(writes))
    return found


def _ours(server: S3Server, client: Any, bucket: str, writes: Sequence[ObjectWrite]) -> float:
    options = S3Options(
        endpoint=server.address,
        access_key=server.access_key,
        secret_key=server.secret_key,
        path_style=True,
        bucket=bucket,
        connections=THREADS,
    )
    sink = S3Sink(options)
    sink.open()
    found = rate(len(writes), lambda: deliver([sink], writes))
    sink.close()
    _check(client, bucket, len(writes))
    return found


def _put(client: Any, bucket: str, writes: Sequence[ObjectWrite]) -> None:
    def put(write: ObjectWrite) -> None:
        client.put_object(
            Bucket=bucket,
            Key=write.key,
            Body=write.data,
            ContentType=write.content_type,
            Metadata=write.metadata,
        )

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, writes))


def _check(client: Any, bucket: str, count: int) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="photos/")
    found = sum(page["KeyCount"] for page in pages)
    if found != count:
        raise SystemExit(f"{bucket} has {found} objects, not {count}")


def _photo(number: int) -> ObjectWrite:
    data = number.to_bytes(4, "big") * (OBJECT_BYTES // 4)
    return ObjectWrite(
        entity=f"photo:p{number}",
        version=number + 1,
        source="user-events",
        event_id="e",
        occurred_at=AT,
        key=f"photos/user-{number % 50}/p{number}.jpeg",
        content_type="image/jpeg",
        data=data,
        metadata={"user_id": f"user-{number % 50}", "place_id": "place-1"},
    )
