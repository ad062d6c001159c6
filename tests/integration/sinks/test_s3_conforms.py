# pyright: reportUnknownMemberType=false
"""The conformance kit on an S3 server."""

import hashlib
from contextlib import AbstractContextManager
from uuid import uuid4

import msgspec
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.s3 import S3Options, S3Sink
from connectors.sinks.s3.objects import TOMBSTONE_TYPE
from deploy.local.s3 import S3Server
from schemas.writes import ObjectWrite
from tests.integration.sinks.no_room import without_room

# Ten thousand objects, of which one is bad: this server takes some 320 a second where nothing else runs.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


class TestS3(SinkConformance[ObjectWrite]):
    many = 100  # each is a request
    server: S3Server

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server) -> None:
        self.server = s3_server

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"bucket-{uuid4().hex}"

    def options(self, place: str) -> S3Options:
        return S3Options(
            endpoint=self.server.address,
            access_key=self.server.access_key,
            secret_key=self.server.secret_key,
            path_style=True,
            bucket=place,
            prefix="media/",
        )

    def sink(self, place: str) -> S3Sink:
        return S3Sink(self.options(place))

    def stranger(self, place: str) -> S3Sink:
        return S3Sink(msgspec.structs.replace(self.options(place), secret_key="another"))

    def full(self, place: str, sink: Sink[ObjectWrite]) -> AbstractContextManager[object]:
        return without_room(self.server)

    def good(self, entity: str, version: int, source: str, content: int) -> ObjectWrite:
        common = self.common(entity, version, source)
        return ObjectWrite(**common, key=key_of(entity), content_type="image/png", data=f"{content}".encode())

    def bad(self, entity: str, version: int, source: str) -> ObjectWrite:
        return ObjectWrite(**self.common(entity, version, source), key="k" * 2_000, data=b"")

    def content(self, place: str, entity: str) -> int | None:
        client = self.server.client()
        try:
            found = client.get_object(Bucket=place, Key=f"media/{key_of(entity)}")
            data = found["Body"].read()
            return None if found["ContentType"] == TOMBSTONE_TYPE else int(data)
        except client.exceptions.NoSuchKey:
            return None
        finally:
            client.close()


def key_of(entity: str) -> str:
    """The server keeps objects as files: none is the folder of another, no name is longer than a file's may be."""
    digest = hashlib.sha256(entity.encode()).hexdigest()
    plain = len(entity.encode()) < 200 and not {"", ".", ".."}.intersection(entity.split("/"))
    return f"{digest[:8]}/{entity}" if plain else digest
