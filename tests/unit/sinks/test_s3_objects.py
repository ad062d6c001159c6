from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.s3 import client as s3_client
from connectors.sinks.s3.client import Bucket
from connectors.sinks.s3.errors import LostRaceError, RefusedError, interpreted
from connectors.sinks.s3.index import unindexed
from connectors.sinks.s3.objects import (
    MAX_METADATA_BYTES,
    NOTHING,
    TOMBSTONE_TYPE,
    Latest,
    State,
    Unfit,
    after,
    body_of,
    is_newer,
    key_of,
    owner_of,
    state_of,
)
from connectors.sinks.s3.options import S3Options
from connectors.sinks.s3.undo import names_copy
from schemas.writes import ObjectWrite

SOURCES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
VERSIONS = st.integers(0, 2**63 - 1)


def write(**given: Any) -> ObjectWrite:
    fields: dict[str, Any] = {"entity": "photo:1", "version": 7, "source": "s", "event_id": "e", "key": "a/b.png"}
    fields |= {"content_type": "image/png", "data": b"x", "occurred_at": datetime(2026, 5, 1, tzinfo=UTC), **given}
    return ObjectWrite(**fields)


@given(steps=st.lists(st.tuples(SOURCES, VERSIONS, st.booleans()), min_size=1, max_size=4))
def test_what_an_object_says_of_its_versions_is_read_back(steps: list[tuple[str, int, bool]]) -> None:
    state = NOTHING
    for source, version, deleted in steps:
        one = write(source=source, version=version, op="delete" if deleted else "upsert")
        if not is_newer(one, state):
            continue
        body = body_of(one, state)
        assert all(value.isascii() and value.isprintable() for value in body.metadata.values())
        state = after(one, state, '"e"')
        assert state_of('"e"', body.metadata, body.content_type) == state


def test_a_write_is_newer_than_its_own_source_only() -> None:
    state = State('"e"', owner_of("photo:1"), {"s": Latest(7, deleted=False)})
    assert not is_newer(write(version=7), state)
    assert is_newer(write(version=8), state)
    assert is_newer(write(version=1, source="other"), state)


@pytest.mark.parametrize("state", [State('"e"'), State('"e"', owner_of("another"), {})])
def test_what_belongs_to_something_else_is_not_written_over(state: State) -> None:
    with pytest.raises(Unfit, match="`key`"):
        is_newer(write(), state)


def test_the_tombstones_of_two_versions_differ() -> None:
    one, two = (body_of(write(op="delete", version=version), NOTHING) for version in (1, 2))
    assert one.data != two.data
    assert one.content_type == TOMBSTONE_TYPE


def test_a_reference_is_a_list_of_one_address() -> None:
    body = body_of(write(data=None, reference="s3://other/photo.png"), NOTHING)
    assert body[:2] == (b"s3://other/photo.png\r\n", "text/uri-list")


def test_metadata_is_kept_as_ascii() -> None:
    body = body_of(write(metadata={"User_Id": "u 1", "place": "서울=50%"}), NOTHING)
    assert body.metadata["user_id"] == "u 1"
    assert body.metadata["place"] == "%EC%84%9C%EC%9A%B8%3D50%25"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"reference": "s3://x"}, "exactly one of `data` and `reference`"),
        ({"data": None}, "exactly one of `data` and `reference`"),
        ({"content_type": ""}, "`content_type`"),
        ({"content_type": "a\nb"}, "`content_type`"),
        ({"content_type": TOMBSTONE_TYPE}, "`content_type`"),
        ({"metadata": {"a b": ""}}, "`metadata` has a name"),
        ({"metadata": {"travelos-versions": "s=9"}}, "`metadata` has a name"),
        ({"metadata": {"a": "1", "A": "2"}}, "`metadata` has a name"),
        ({"metadata": {"a": "\ud800"}}, "`metadata` is not valid Unicode"),
        ({"metadata": {"a": "x" * MAX_METADATA_BYTES}}, "more than the 2,048"),
    ],
)
def test_what_s3_cannot_keep_is_refused_by_name(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        body_of(write(**given), NOTHING)


@pytest.mark.parametrize("key", ["", "a/../b", "..", "./a", "k" * 1_020, ".travelos/index/x", "half \ud800", "a\0b"])
def test_a_key_that_could_mean_something_else_is_refused(key: str) -> None:
    with pytest.raises(Unfit, match="`key`"):
        key_of(write(key=key), "media/")


def test_every_other_key_is_kept_as_it_is() -> None:
    for key in ("/a", "a//b", "a/", ".hidden", "a\\b", "서울 🗽", "%2E%2E", "a?b#c"):
        assert key_of(write(key=key), "media/") == f"media/{key}"


def test_an_index_remembers_what_it_has_noted_last() -> None:
    known: dict[Any, None] = {}
    assert list(unindexed([("a", "1"), ("b", "2"), ("a", "1")], known, 2)) == [("a", "1"), ("b", "2")]
    assert list(unindexed([("c", "3"), ("b", "2"), ("a", "1")], known, 2)) == [("c", "3"), ("a", "1")]


def answered(code: str, status: int, **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers, "RequestId": "", "HostId": "", "RetryAttempts": 0}
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": metadata}, "PutObject")  # pyright: ignore[reportArgumentType] - a part of an answer


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (answered("PreconditionFailed", 412), LostRaceError, "m"),
        (answered("ConditionalRequestConflict", 409), LostRaceError, "m"),
        (answered("404", 404), LostRaceError, "m"),
        (answered("NoSuchBucket", 404), Fatal, "stores.objects.bucket"),
        (answered("SlowDown", 503), Unavailable, "SlowDown"),
        (answered("InternalError", 500), Unavailable, "InternalError"),
        (answered("QuotaExceeded", 403), Unavailable, "QuotaExceeded"),
        (answered("SignatureDoesNotMatch", 403), Fatal, "stores.objects.secret_key"),
        (answered("KMS.NotFoundException", 400), Fatal, "stores.objects.kms_key"),
        (answered("AuthorizationHeaderMalformed", 400), Fatal, "stores.objects.region"),
        (answered("EntityTooLarge", 400), RefusedError, "EntityTooLarge"),
        (EndpointConnectionError(endpoint_url="http://h"), Unavailable, "does not answer"),
        (NoCredentialsError(), Fatal, "stores.objects.access_key"),
    ],
)
def test_every_error_has_a_meaning(error: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says), interpreted():
        raise error


def test_a_server_that_says_how_long_to_wait_is_believed() -> None:
    with pytest.raises(Unavailable) as caught, interpreted():
        raise answered("SlowDown", 503, **{"retry-after": "7"})
    assert caught.value.after == 7.0


def _listen(_event: str, _listener: object) -> None:
    """Take a listener that is never told of anything."""


class Recorder:
    """Takes every request of a client and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.meta = SimpleNamespace(events=SimpleNamespace(register=_listen))

    def session(self, **_: object) -> "Recorder":
        return self

    def client(self, *_: Any, **__: Any) -> "Recorder":
        return self

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        def ask(**given: Any) -> dict[str, Any]:
            self.asked.append((name, given))
            return {"ETag": '"e"', "UploadId": "u"}

        return ask

    def last(self, name: str) -> dict[str, Any]:
        return next(given for asked, given in reversed(self.asked) if asked == name)


def test_objects_ask_for_their_encryption_and_class_and_tombstones_for_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(s3_client, "Session", recorder.session)
    bucket = Bucket(S3Options(encryption="aws:kms", kms_key="k1", storage_class="STANDARD_IA", multipart_mib=5))
    bucket.open()
    bucket.put("a", body_of(write(), NOTHING), NOTHING)
    asked = recorder.last("put_object")
    assert (asked["ServerSideEncryption"], asked["SSEKMSKeyId"]) == ("aws:kms", "k1")
    assert (asked["StorageClass"], asked["IfNoneMatch"]) == ("STANDARD_IA", "*")
    bucket.put("a", body_of(write(op="delete"), NOTHING), State('"old"'))
    asked = recorder.last("put_object")
    assert (asked["Tagging"], asked["IfMatch"]) == ("travelos-deleted=true", '"old"')
    assert "StorageClass" not in asked
    bucket.put("a", body_of(write(data=b"x" * (11 * 1024 * 1024)), NOTHING), NOTHING)
    assert recorder.last("create_multipart_upload")["ServerSideEncryption"] == "aws:kms"
    sizes = {given["PartNumber"]: len(given["Body"]) for name, given in recorder.asked if name == "upload_part"}
    assert sizes == {1: 5 * 1024 * 1024, 2: 5 * 1024 * 1024, 3: 1024 * 1024}
    assert recorder.last("complete_multipart_upload")["IfNoneMatch"] == "*"
    bucket.close()


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("travelos-undo:0123456789abcdef0123456789abcdef", True),
        ("travelos-undo:../../index/a", False),
        ("travelos-undo:", False),
        ("https://example.org/0123456789abcdef0123456789abcdef", False),
        (None, False),
    ],
)
def test_only_a_name_that_a_copy_can_have_is_taken_for_one(reference: str | None, named: bool) -> None:
    assert names_copy(write(data=None, reference=reference)) is named
