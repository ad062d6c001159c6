# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
"""Requests that are made without boto3 are those that boto3 would make."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.s3.direct import Direct, Place, place_of
from connectors.sinks.s3.signing import Login, day_key, signed

AT = datetime(2026, 5, 1, 12, 30, 59, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
REDIRECTED = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
PRECONDITION = b"<Error><Code>PreconditionFailed</Code><Message>there</Message></Error>"


@given(
    key=st.from_regex(r"[A-Za-z0-9_.~%-]{1,20}(/[A-Za-z0-9_.~%-]{1,20})?", fullmatch=True),
    headers=st.dictionaries(st.from_regex(r"x-amz-meta-[a-z0-9-]{1,20}", fullmatch=True), TEXT, max_size=4),
    body=st.binary(max_size=50),
    token=st.sampled_from(["", "a token/+="]),
)
def test_a_signature_is_the_one_that_botocore_makes(key: str, headers: dict[str, str], body: bytes, token: str) -> None:
    path = f"/bucket/{key}"
    request = AWSRequest("PUT", f"http://localhost:9000{path}", headers=dict(headers), data=body)
    with patch("botocore.auth.get_current_datetime", return_value=AT.replace(tzinfo=None)):
        S3SigV4Auth(Credentials("access", "secret", token or None), "s3", "eu-central-1").add_auth(request)
    ours = signed(
        "PUT",
        path,
        {**headers, "host": "localhost:9000"},
        hashlib.sha256(body).hexdigest(),
        key=day_key(Login("access", "secret", token), "eu-central-1", AT),
        at=AT,
    )
    assert ours["authorization"] == request.headers["Authorization"]


def test_a_key_is_good_for_its_day_its_region_and_who_asks() -> None:
    login = Login("access", "secret", "")
    known = day_key(login, "eu-central-1", AT)
    assert day_key(login, "eu-central-1", AT.replace(hour=23), known) is known
    for other in (
        (login, "eu-central-1", AT + timedelta(days=1)),
        (login, "us-east-1", AT),
        (Login("access", "rotated", ""), "eu-central-1", AT),
        (Login("access", "secret", "token"), "eu-central-1", AT),
    ):
        assert day_key(*other, known) == day_key(*other)
    assert "secret" not in repr(known)


@pytest.mark.parametrize(
    ("url", "authorization", "place"),
    [
        (
            "http://127.0.0.1:9000/bucket",
            "AWS4-HMAC-SHA256 Credential=a/b/20260501/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            Place("http://127.0.0.1:9000/bucket/", "us-east-1"),
        ),
        (
            "https://bucket.s3.eu-central-1.amazonaws.com/",
            b"AWS4-HMAC-SHA256 Credential=a/20260501/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            Place("https://bucket.s3.eu-central-1.amazonaws.com/", "eu-central-1"),
        ),
        ("https://b--x-s3.s3express.amazonaws.com", "AWS4-HMAC-SHA256 Credential=a/20260501/r/s3express/x", None),
        ("https://access-point.amazonaws.com/", "AWS4-ECDSA-P256-SHA256 Credential=a/20260501/s3/aws4_request", None),
        ("https://bucket.amazonaws.com/", "", None),
    ],
)
def test_where_the_bucket_is_is_seen_from_a_request_that_is_signed_as_usual(
    url: str, authorization: str | bytes, place: Place | None
) -> None:
    assert place_of(AWSPreparedRequest("HEAD", url, {"Authorization": authorization}, None, False)) == place


class _Raw(BytesIO):
    """A body as urllib3 has it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Server:
    """Answers all requests alike, and counts what boto3 is asked for."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.passed_on: list[dict[str, Any]] = []

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        return AWSResponse(request.url, self.status, {"ETag": '"e"'}, _Raw(self.body))

    def put_object(self, **given: Any) -> dict[str, str]:
        self.passed_on.append(given)
        return {"ETag": '"from boto3"'}

    def put(self) -> str:
        http: Any = self
        place = Place("http://localhost/bucket/", "us-east-1")
        direct = Direct(self, place, Credentials("access", "secret"), http)
        return direct.put_object(Bucket="bucket", Key="k", Body=b"b", Metadata={"n": "v"}, IfNoneMatch="*")["ETag"]


def test_what_the_server_refuses_is_an_error_as_boto3_has_it() -> None:
    with pytest.raises(ClientError) as caught:
        Server(412, PRECONDITION).put()
    assert caught.value.response.get("Error", {}).get("Code") == "PreconditionFailed"
    assert caught.value.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412


def test_boto3_is_asked_where_the_server_says_that_the_bucket_is_elsewhere() -> None:
    server = Server(301, REDIRECTED)
    assert server.put() == '"from boto3"'
    assert server.passed_on == [
        {"Bucket": "bucket", "Key": "k", "Body": b"b", "Metadata": {"n": "v"}, "IfNoneMatch": "*"}
    ]
    assert Server(200, b"").put() == '"e"'
