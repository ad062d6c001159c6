# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Requests to one bucket, through boto3 or as `direct` makes them. Each may raise what `errors.interpreted` says."""

import base64
import hashlib
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

import botocore.session
from boto3.session import Session
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from connectors.sinks.errors import Fatal
from connectors.sinks.s3.direct import Direct, Place, place_of
from connectors.sinks.s3.errors import OPTION, LostRaceError, RefusedError, interpreted
from connectors.sinks.s3.objects import NOTHING, TAG, TOMBSTONE_TYPE, Body, State, state_of
from connectors.sinks.s3.options import S3Options

# As boto3 has it: head and body of a request go one behind the other, and a server that keeps connections, as Amazon's
# does, is slow to acknowledge the head: without this a PUT takes 40 ms longer.
_AT_ONCE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_MIB = 1024 * 1024
_REMOVED_AT_ONCE = 1_000  # Amazon's limit


class Listed(NamedTuple):
    """An object as a list of a bucket shows it."""

    key: str
    size: int
    modified: datetime


class Version(NamedTuple):
    """A version of an object that is not the one readers get."""

    key: str
    id: str


class Found(NamedTuple):
    """An object as a HEAD request shows it."""

    state: State
    etag: str
    size: int
    content_type: str
    metadata: Mapping[str, str]


class Bucket:
    """The objects of a bucket. Its methods may be called from several threads; `open` before, `close` after all."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._opened: Any = None
        self._direct: Direct | None = None
        # Of its own, because a whole object waits for its parts and would wait for itself in the pool of objects.
        self._parts: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Connect, and find or make the bucket."""
        options, session = self._options, botocore.session.Session()
        with interpreted():
            self._opened = Session(botocore_session=session).client(
                "s3",
                endpoint_url=options.endpoint or None,
                region_name=options.region,
                aws_access_key_id=options.access_key or None,
                aws_secret_access_key=options.secret_key or None,
                verify=options.ca_file or None,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if options.path_style else "auto"},
                    connect_timeout=options.connect_seconds,
                    read_timeout=options.request_seconds,
                    max_pool_connections=2 * options.connections,
                    retries={"total_max_attempts": 1},  # whether a write may be repeated is for the framework to say
                ),
            )
        self._parts = ThreadPoolExecutor(options.connections, thread_name_prefix="s3-part")
        seen: list[Place | None] = []

        def see(request: AWSPreparedRequest, **_: Any) -> None:
            seen.append(place_of(request))

        self._client.meta.events.register("before-send.s3.HeadBucket", see)
        try:
            with interpreted():
                self._client.head_bucket(Bucket=options.bucket)
        except LostRaceError:
            self._make()
        except RefusedError as error:
            raise Fatal(f"S3: {error}; see `{OPTION}.bucket` and `{OPTION}.endpoint`") from error
        place = seen[-1] if seen else None
        credentials = (
            Credentials(options.access_key, options.secret_key) if options.access_key else session.get_credentials()
        )
        if place is not None and credentials is not None:
            verify: Any = options.ca_file or session.get_config_variable("ca_bundle") or True
            http = URLLib3Session(
                verify=verify,
                proxies=get_environ_proxies(place.before),
                timeout=(options.connect_seconds, options.request_seconds),
                max_pool_connections=2 * options.connections,
                socket_options=_AT_ONCE,
            )
            self._direct = Direct(self._client, place, credentials, http)

    def state(self, key: str) -> State:
        """Return what lies under a key."""
        found = self.found(key)
        return NOTHING if found is None else found.state

    def found(self, key: str) -> Found | None:
        """Return what lies under a key with what describes it; None: nothing."""
        try:
            with interpreted():
                answer = self._objects.head_object(Bucket=self._options.bucket, Key=key)
        except LostRaceError:
            return None
        etag, metadata, content_type = answer["ETag"], answer.get("Metadata", {}), answer.get("ContentType", "")
        return Found(state_of(etag, metadata, content_type), etag, answer["ContentLength"], content_type, metadata)

    def put(self, key: str, body: Body, over: State) -> str:
        """Put an object where `over` lies and nothing else has come since; return its ETag.

        Raises:
            LostRaceError: something else lies there.
        """
        condition = {"IfNoneMatch": "*"} if over.etag is None else {"IfMatch": over.etag}
        size = self._options.multipart_mib * _MIB
        if len(body.data) > size or (over.etag is not None and _has_etag(body.data, over.etag)):
            # The same bytes would have the same ETag, and a condition of somebody who looked before would still hold.
            return self._put_in_parts(key, body, condition, size)
        with interpreted():
            return self._objects.put_object(
                Body=body.data,
                ChecksumSHA256=_checksum(body.data),
                **condition,
                **self._about(key, body),
            )["ETag"]

    def put_new(self, key: str, data: bytes) -> None:
        """Put an object of our own under a key that nobody else uses."""
        with interpreted():
            self._objects.put_object(
                Body=data, ChecksumSHA256=_checksum(data), **self._about(key, Body(data, "application/x-ndjson", {}))
            )

    def get(self, key: str) -> bytes | None:
        """Return the bytes of an object; None when there is none."""
        found = self.get_tagged(key)
        return None if found is None else found[0]

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return the bytes of an object and their ETag; None when there is none."""
        try:
            with interpreted():
                found = self._client.get_object(Bucket=self._options.bucket, Key=key)
                return found["Body"].read(), found["ETag"]
        except LostRaceError:
            return None

    def get_same(self, key: str, etag: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            LostRaceError: it is another one, or gone.
        """
        with interpreted():
            return self._client.get_object(Bucket=self._options.bucket, Key=key, IfMatch=etag)["Body"].read()

    def copy(self, key: str, etag: str, to: str) -> None:
        """Have the server copy the bytes of an object to a key that nobody else uses; at most 5 GB (Amazon's limit).

        Raises:
            LostRaceError: it is another one, or gone.
        """
        bucket = self._options.bucket
        with interpreted():
            self._client.copy_object(
                CopySource={"Bucket": bucket, "Key": key},
                CopySourceIfMatch=etag,
                MetadataDirective="REPLACE",
                **self._about(to, Body(b"", "application/octet-stream", {})),
            )

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys begin like this, in order."""
        token: dict[str, str] = {}
        while True:
            with interpreted():
                page = self._client.list_objects_v2(Bucket=self._options.bucket, Prefix=prefix, **token)
            yield from (Listed(one["Key"], one["Size"], one["LastModified"]) for one in page.get("Contents", []))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def remove(self, keys: list[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        for start in range(0, len(keys), _REMOVED_AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + _REMOVED_AT_ONCE]]
            with interpreted():
                self._client.delete_objects(Bucket=self._options.bucket, Delete={"Objects": some, "Quiet": True})

    def versioned(self) -> bool:
        """Whether the bucket keeps versions of objects, or has done so."""
        with interpreted():
            return "Status" in self._client.get_bucket_versioning(Bucket=self._options.bucket)

    def old_versions(self, prefix: str) -> Iterator[Version]:
        """Yield the versions below a prefix that something newer has taken the place of, in the order of their keys."""
        marker: dict[str, str] = {}
        while True:
            with interpreted():
                page = self._client.list_object_versions(Bucket=self._options.bucket, Prefix=prefix, **marker)
            for one in page.get("Versions", []):
                if not one["IsLatest"]:
                    yield Version(one["Key"], one["VersionId"])
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}

    def remove_versions(self, versions: list[Version]) -> None:
        """Remove versions for good; those that are gone already are no error."""
        for start in range(0, len(versions), _REMOVED_AT_ONCE):
            some = [{"Key": one.key, "VersionId": one.id} for one in versions[start : start + _REMOVED_AT_ONCE]]
            with interpreted():
                said = self._client.delete_objects(Bucket=self._options.bucket, Delete={"Objects": some, "Quiet": True})
            if said.get("Errors"):
                raise RefusedError(f"{said['Errors'][0].get('Code')}: versions of objects cannot be removed")

    def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._parts is not None:
            self._parts.shutdown()
            self._parts = None
        if self._direct is not None:
            self._direct.close()
            self._direct = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _objects(self) -> Any:
        """What takes `put_object` and `head_object`."""
        return self._client if self._direct is None else self._direct

    @property
    def _client(self) -> Any:
        assert self._opened is not None, "open() comes first"
        return self._opened

    def _make(self) -> None:
        options = self._options
        if not options.create_bucket:
            raise Fatal(f"S3 has no bucket {options.bucket!r}; make it, or set `{OPTION}.create_bucket`")
        # Amazon takes no constraint for the region that was there first.
        where = {} if options.region == "us-east-1" else {"LocationConstraint": options.region}
        more = {"CreateBucketConfiguration": where} if where else {}
        try:
            with interpreted():
                self._client.create_bucket(Bucket=options.bucket, **more)
        except LostRaceError:  # another worker made it
            return
        except RefusedError as error:
            raise Fatal(f"S3 does not make the bucket: {error}; see `{OPTION}.bucket`") from error

    def _put_in_parts(self, key: str, body: Body, condition: dict[str, str], size: int) -> str:
        assert self._parts is not None
        about = self._about(key, body)
        where = {"Bucket": about["Bucket"], "Key": key}
        with interpreted():
            upload = self._client.create_multipart_upload(ChecksumAlgorithm="SHA256", **about)["UploadId"]
        try:

            def send(number: int) -> dict[str, Any]:
                part = body.data[(number - 1) * size : number * size]
                checksum = _checksum(part)
                with interpreted():
                    sent = self._client.upload_part(
                        UploadId=upload, PartNumber=number, Body=part, ChecksumSHA256=checksum, **where
                    )
                return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

            parts = list(self._parts.map(send, range(1, max(1, -(-len(body.data) // size)) + 1)))
            with interpreted():
                return self._client.complete_multipart_upload(
                    UploadId=upload, MultipartUpload={"Parts": parts}, **condition, **where
                )["ETag"]
        except BaseException:
            with interpreted():  # parts that nobody completes are kept, and paid for
                self._client.abort_multipart_upload(UploadId=upload, **where)
            raise

    def _about(self, key: str, body: Body) -> dict[str, Any]:
        options = self._options
        about: dict[str, Any] = {
            "Bucket": options.bucket,
            "Key": key,
            "ContentType": body.content_type,
            "Metadata": body.metadata,
        }
        if body.content_type == TOMBSTONE_TYPE:
            about["Tagging"] = TAG
        if options.encryption:
            about["ServerSideEncryption"] = options.encryption
        if options.kms_key:
            about["SSEKMSKeyId"] = options.kms_key
        if options.storage_class and body.content_type != TOMBSTONE_TYPE:  # others have a least size and a least age
            about["StorageClass"] = options.storage_class
        return about


def _has_etag(data: bytes, etag: str) -> bool:
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == etag.strip('"')


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
