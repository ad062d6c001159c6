# pyright: reportUnknownMemberType=false
"""What the S3 sink does beside the contract."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.s3 import S3Options, S3Sink, index
from connectors.sinks.s3.client import Bucket
from connectors.sinks.s3.errors import LostRaceError
from connectors.sinks.s3.objects import TOMBSTONE_TYPE, Body
from connectors.sinks.s3.undo import Copies
from deploy.local.s3 import S3Server
from schemas.writes import ObjectWrite
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MIB = 1024 * 1024


def options_of(server: S3Server, **given: Any) -> S3Options:
    fields: dict[str, Any] = {"endpoint": server.address, "access_key": server.access_key, "path_style": True}
    fields |= {"secret_key": server.secret_key, "bucket": f"bucket-{uuid4().hex}", **given}
    return S3Options(**fields)


@pytest.fixture
def options(s3_server: S3Server) -> S3Options:
    return options_of(s3_server)


@pytest.fixture
def sink(options: S3Options) -> Iterator[S3Sink]:
    sink = S3Sink(options)
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def client(s3_server: S3Server) -> Iterator[Any]:
    client = s3_server.client()
    yield client
    client.close()


def write(key: str, version: int = 1, data: bytes | None = b"x", **given: Any) -> ObjectWrite:
    fields: dict[str, Any] = {"entity": f"photo:{key}", "source": "s", "event_id": "e", "key": key, "data": data}
    fields |= {
        "version": version,
        "content_type": "image/png",
        "occurred_at": datetime(2026, 5, 1, tzinfo=UTC),
        **given,
    }
    return ObjectWrite(**fields)


def test_an_object_has_its_type_metadata_and_a_checksum_that_the_server_has_verified(
    sink: S3Sink, options: S3Options, client: Any
) -> None:
    assert sink.write([write("photos/서울 🗽.png", metadata={"user_id": "u1", "place": "서울"})]) == [APPLIED]
    found = client.head_object(Bucket=options.bucket, Key="photos/서울 🗽.png", ChecksumMode="ENABLED")
    assert found["ContentType"] == "image/png"
    assert found["Metadata"]["user_id"] == "u1"
    assert found["Metadata"]["place"] == "%EC%84%9C%EC%9A%B8"
    assert found["Metadata"]["travelos-versions"] == "s=1"
    assert found["ChecksumSHA256"]


def test_objects_go_by_connections_that_are_kept_and_that_wait_for_no_acknowledgement(
    options: S3Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Head and body of a PUT are sent one behind the other; Nagle's algorithm made 40 ms of that."""
    sink = S3Sink(msgspec.structs.replace(options, connections=2))
    sink.open()
    made: list[socket.socket] = []
    connect = socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        made.append(self)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    assert sink.write([write(f"k{number}") for number in range(20)]) == [APPLIED] * 20
    assert 0 < len(made) <= 4
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in made)
    sink.close()


def test_a_video_goes_in_parts_and_is_one_object_with_its_version(options: S3Options, client: Any) -> None:
    sink = S3Sink(msgspec.structs.replace(options, multipart_mib=5))
    sink.open()
    video = bytes(range(256)) * (12 * MIB // 256) + b"tail"
    assert sink.write([write("v.mp4", 1, video, content_type="video/mp4")]) == [APPLIED]
    found = client.get_object(Bucket=options.bucket, Key="v.mp4")
    assert found["Body"].read() == video
    assert (found["ContentType"], found["ETag"].strip('"')[-2:]) == ("video/mp4", "-3")
    assert sink.write([write("v.mp4", 1, video), write("v.mp4", 2, video[::-1])]) == [SUPERSEDED, APPLIED]
    assert sink.held([("photo:v.mp4", "s")]) == {("photo:v.mp4", "s"): Held(version=2)}
    sink.close()


def test_parts_of_an_upload_that_lost_a_race_are_not_left_behind(options: S3Options, client: Any) -> None:
    bucket = Bucket(msgspec.structs.replace(options, multipart_mib=5))
    bucket.open()
    video = Body(b"x" * (6 * MIB), "video/mp4", {})
    bucket.put("v.mp4", video, bucket.state("v.mp4"))
    with pytest.raises(LostRaceError):
        bucket.put("v.mp4", video, bucket.state("nothing"))
    assert "Uploads" not in client.list_multipart_uploads(Bucket=options.bucket)
    bucket.close()


def test_the_same_bytes_again_are_another_object_to_whoever_looked_before(options: S3Options) -> None:
    """Else a late older version, whose writer looked before the newer one came, would take its place."""
    bucket = Bucket(options)
    bucket.open()
    same = Body(b"the same", "image/png", {})
    bucket.put("a", same, bucket.state("a"))
    looked = bucket.state("a")
    bucket.put("a", same, looked)
    with pytest.raises(LostRaceError):
        bucket.put("a", Body(b"late", "image/png", {}), looked)
    bucket.close()


def test_a_deleted_object_has_no_bytes_left_and_says_so(sink: S3Sink, options: S3Options, client: Any) -> None:
    sink.write([write("a", data=b"private")])
    assert sink.write([write("a", 2, op="delete")]) == [APPLIED]
    found = client.get_object(Bucket=options.bucket, Key="a")
    assert found["ContentType"] == TOMBSTONE_TYPE
    assert b"private" not in found["Body"].read()
    tags = client.get_object_tagging(Bucket=options.bucket, Key="a")["TagSet"]
    assert tags == [{"Key": "travelos-deleted", "Value": "true"}]
    assert sink.write([write("a", 1), write("a", 3)]) == [SUPERSEDED, APPLIED]


def test_bytes_that_lie_elsewhere_are_kept_as_a_reference(sink: S3Sink, options: S3Options, client: Any) -> None:
    assert sink.write([write("a", data=None, reference="s3://other/a.png")]) == [APPLIED]
    found = client.get_object(Bucket=options.bucket, Key="a")
    assert (found["ContentType"], found["Body"].read()) == ("text/uri-list", b"s3://other/a.png\r\n")


def test_objects_of_others_are_left_alone(sink: S3Sink, options: S3Options, client: Any) -> None:
    client.put_object(Bucket=options.bucket, Key="theirs", Body=b"theirs")
    sink.write([write("ours")])
    outcomes = sink.write([write("theirs"), write("ours", 2, entity="another"), write("x" * 300), write("good")])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [True, True, True, False]
    assert client.get_object(Bucket=options.bucket, Key="theirs")["Body"].read() == b"theirs"
    assert sink.held([("photo:theirs", "s"), ("another", "s")]) == {}


def test_small_files_of_the_index_become_few_and_lose_nothing(
    sink: S3Sink, options: S3Options, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MERGED_FROM", 4)
    entities: list[tuple[str, str]] = []
    for number in range(6):
        sink.write([write(f"k{number}"), write(f"l{number}")])
        entities += [(f"photo:k{number}", "s"), (f"photo:l{number}", "s")]
    sink.close()  # which waits for what is merged meanwhile
    files = client.list_objects_v2(Bucket=options.bucket, Prefix=".travelos/index/")["Contents"]
    assert len(files) == 3
    another = S3Sink(options)
    another.open()
    another.write([write("m")])
    another.close()
    another.open()
    assert set(another.held([*entities, ("photo:m", "s")]).values()) == {Held(version=1)}
    assert len(client.list_objects_v2(Bucket=options.bucket, Prefix=".travelos/index/")["Contents"]) == 1
    assert len(sink.held([*entities, ("photo:m", "s")])) == 13
    another.close()


def test_what_a_killed_writer_did_not_note_is_noted_when_it_is_sent_again(sink: S3Sink, options: S3Options) -> None:
    sink.write([write("a")])
    bucket = Bucket(options)
    bucket.open()
    bucket.remove([file.key for file in bucket.listed(".travelos/")])
    bucket.close()
    another = S3Sink(options)
    assert another.write([write("a")]) == [SUPERSEDED]
    assert another.held([("photo:a", "s")]) == {("photo:a", "s"): Held(version=1)}
    another.close()


def test_what_is_set_up_wrongly_is_fatal_and_names_the_option_and_no_secret(s3_server: S3Server) -> None:
    assert s3_server.secret_key not in repr(options_of(s3_server))
    for wrong, says in (
        ({"secret_key": "wr0ng"}, r"stores\.objects\.secret_key"),
        ({"access_key": "nobody"}, r"stores\.objects\.access_key"),
        ({"bucket": "nowhere", "create_bucket": False}, r"stores\.objects\.create_bucket"),
        ({"bucket": "NO Bucket"}, r"stores\.objects\.bucket"),
        ({"endpoint": "nonsense"}, r"stores\.objects\.endpoint"),
    ):
        sink = S3Sink(options_of(s3_server, **wrong))
        with pytest.raises(Fatal, match=says) as caught:
            sink.open()
        assert "wr0ng" not in str(caught.value)
        sink.close()


def test_a_lost_server_is_unavailable_and_the_sink_goes_on_when_it_is_back(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = start_server(S3Server(tmp_path_factory.mktemp("killed")))
    sink = S3Sink(options_of(server, bucket="travelos"))
    try:
        sink.open()
        assert sink.write([write("a")]) == [APPLIED]
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([write("b")])
        with pytest.raises(Unavailable):
            sink.open()
        server.start()
        assert sink.write([write("a"), write("b")]) == [SUPERSEDED, APPLIED]
    finally:
        sink.close()
        server.delete()


def test_a_large_object_is_undone_from_a_copy_that_never_passed_through_the_worker(
    options: S3Options, client: Any
) -> None:
    sink = S3Sink(msgspec.structs.replace(options, prefix="media/", multipart_mib=5))
    sink.open()
    video = bytes(range(256)) * (12 * MIB // 256)
    sink.write([write("v.mp4", 1, video, content_type="video/mp4", metadata={"place": "서울"})])
    replacing = write("v.mp4", 2, op="delete", data=None)
    (undo,) = sink.before([replacing])
    assert undo is not None
    assert (undo.op, undo.version, undo.data, undo.content_type) == ("upsert", 1, None, "video/mp4")
    assert len(msgspec.json.encode(undo)) < 1_000
    again = msgspec.structs.replace(undo, version=3)
    assert sink.write([replacing, again]) == [APPLIED] * 2
    found = client.get_object(Bucket=options.bucket, Key="media/v.mp4")
    assert found["Body"].read() == video
    assert (found["ContentType"], found["Metadata"]["place"]) == ("video/mp4", "%EC%84%9C%EC%9A%B8")
    sink.close()


def test_a_compensation_whose_copy_is_gone_is_rejected_and_one_that_was_applied_needs_no_copy(
    sink: S3Sink, options: S3Options, client: Any
) -> None:
    sink.write([write("v.mp4", 1, b"v" * 100_000), write("w.mp4", 1, b"w" * 100_000)])
    undos = sink.before([write("v.mp4", 2), write("w.mp4", 2)])
    first, second = [msgspec.structs.replace(undo, version=3) for undo in undos if undo is not None]
    assert sink.write([first]) == [APPLIED]
    copies = client.list_objects_v2(Bucket=options.bucket, Prefix=".travelos/undo/")["Contents"]
    assert len(copies) == 2
    client.delete_objects(Bucket=options.bucket, Delete={"Objects": [{"Key": one["Key"]} for one in copies]})
    superseded, rejected = sink.write([first, second])
    assert superseded == SUPERSEDED
    assert isinstance(rejected, Rejected)
    assert "undo_hours" in rejected.reason


def test_copies_are_removed_when_they_are_too_old(s3_server: S3Server, options: S3Options, client: Any) -> None:
    bucket = Bucket(options)
    bucket.open()
    bucket.put_new("v.mp4", b"v" * 100_000)
    found = bucket.found("v.mp4")
    assert found is not None
    copies, expired = (Copies(bucket, "", hours) for hours in (1, 0))
    for now in (1.0, 2.0):
        copies.undo_of(write("v.mp4", 2), "v.mp4", found)
        copies.sweep(now)
    assert client.list_objects_v2(Bucket=options.bucket, Prefix=".travelos/undo/")["KeyCount"] == 2
    expired.sweep(1.0)
    assert client.list_objects_v2(Bucket=options.bucket, Prefix=".travelos/undo/")["KeyCount"] == 0
    bucket.close()


def test_an_undone_reference_is_a_reference_again(sink: S3Sink, options: S3Options, client: Any) -> None:
    elsewhere = write("v.mp4", 1, None, reference="https://videos.example/v.mp4")
    sink.write([elsewhere])
    before = client.get_object(Bucket=options.bucket, Key="v.mp4")
    (undo,) = sink.before([write("v.mp4", 2)])
    assert undo is not None
    assert (undo.reference, undo.data) == (elsewhere.reference, None)
    assert sink.write([write("v.mp4", 2), msgspec.structs.replace(undo, version=3)]) == [APPLIED] * 2
    after = client.get_object(Bucket=options.bucket, Key="v.mp4")
    assert (after["Body"].read(), after["ContentType"]) == (before["Body"].read(), before["ContentType"])


def test_what_another_client_did_to_s3_is_found_and_repaired(sink: S3Sink, options: S3Options, client: Any) -> None:
    def put(key: str, data: bytes) -> None:
        """As a tool does that keeps the metadata of what it overwrites."""
        known = client.head_object(Bucket=options.bucket, Key=key)
        client.put_object(
            Bucket=options.bucket, Key=key, Body=data, **{name: known[name] for name in ("Metadata", "ContentType")}
        )

    gone = write("gone", 6, None, op="delete")
    found_and_repaired(
        "objects",
        sink,
        [*(write(key, 5, key.encode()) for key in ("whole", "removed", "altered", "replaced", "gone")), gone],
        {
            "photo:removed": ("missing", lambda: client.delete_object(Bucket=options.bucket, Key="removed")),
            "photo:altered": ("different", lambda: put("altered", b"Altered")),
            "photo:replaced": (
                "missing",
                lambda: client.put_object(Bucket=options.bucket, Key="replaced", Body=b"other"),
            ),
            "photo:gone": ("missing", lambda: client.delete_object(Bucket=options.bucket, Key="gone")),
        },
    )


def test_what_the_index_could_not_take_is_noted_when_it_is_sent_again(
    sink: S3Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put_new", away)
        with pytest.raises(Unavailable):
            sink.write([write("a")])
    assert sink.write([write("a")]) == [SUPERSEDED]  # the object was there
    assert sink.held([("photo:a", "s")]) == {("photo:a", "s"): Held(version=1)}


def test_objects_do_not_wait_for_the_index_nor_it_for_them(sink: S3Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    both, put, put_new = Barrier(2), Bucket.put, Bucket.put_new

    def put_beside(self: Bucket, *given: Any) -> str:
        both.wait(30)
        return put(self, *given)

    def put_new_beside(self: Bucket, *given: Any) -> None:
        both.wait(30)
        put_new(self, *given)

    monkeypatch.setattr(Bucket, "put", put_beside)
    monkeypatch.setattr(Bucket, "put_new", put_new_beside)
    assert sink.write([write("a")]) == [APPLIED]


@pytest.mark.parametrize("user", ["ann", "a%3A,b=", "\uc11c\uc6b8"])
def test_the_objects_of_a_person_are_found_whenever_they_were_written_and_none_once_they_are_deleted(
    sink: S3Sink, options: S3Options, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"user_id": user}

    def without_person(one: ObjectWrite, key: str) -> index.Entry:  # as it was noted before persons were
        return index.Entry(one.entity, key)

    with monkeypatch.context() as patch:
        patch.setattr("connectors.sinks.s3.sink._entry_of", without_person)
        sink.write([write("old", 2, metadata=about), write("old of bob", metadata={"user_id": "bob"})])
    sink.write([write("new", 3, metadata=about), write("of bob", metadata={"user_id": "bob"}), write("of nobody")])
    sink.write([write("was theirs", metadata=about), write("gone", metadata=about)])
    sink.write([write("was theirs", 2, metadata={"user_id": "bob"}), write("gone", 2, op="delete")])
    another = S3Sink(options)
    another.open()
    found = another.of_user(user)
    assert {(one.entity, one.key, one.version, one.op) for one in found} == {
        ("photo:old", "old", 2, "delete"),
        ("photo:new", "new", 3, "delete"),
    }
    assert another.write([msgspec.structs.replace(one, version=9) for one in found]) == [APPLIED] * 2
    assert another.of_user(user) == []
    assert len(another.of_user("bob")) == 3
    another.close()


def test_only_objects_that_may_be_a_persons_are_looked_at(sink: S3Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.write([write(f"k{number}", metadata={"user_id": "bob"}) for number in range(5)])
    sink.write([write("k", metadata={"user_id": "ann"})])
    looked: list[str] = []
    found = Bucket.found

    def look(self: Bucket, key: str) -> Any:
        looked.append(key)
        return found(self, key)

    monkeypatch.setattr(Bucket, "found", look)
    assert [one.entity for one in sink.of_user("ann")] == ["photo:k"]
    assert looked == ["k"]
