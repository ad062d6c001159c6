# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The two requests that objects cost, PUT and HEAD, without what boto3 does beside sending them.

That is most of the processor time of a small object: checking what is asked against a model of the service, looking up
where the service is, a dozen hooks, and a question to the server whether the body may come (`Expect: 100-continue`).
Where the bucket is and how requests to it are signed is seen from one that boto3 has made, which does what is unusual.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser

from connectors.sinks.s3.signing import DayKey, Login, day_key, signed

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/,]+)/s3/aws4_request\b")
_META = "x-amz-meta-"
_CHECKSUM = "x-amz-checksum-sha256"
_HEADERS = {
    "ChecksumSHA256": _CHECKSUM,
    "ContentType": "content-type",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
_NO_HEADERS = ("Body", "Bucket", "Key", "Metadata")
# Whoever is answered so has to look for the bucket elsewhere, or to sign for another region; boto3 knows where.
_ELSEWHERE = ("301", "302", "307", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect")


class Place(NamedTuple):
    """Where a bucket is: what comes before a key in the URLs of its objects, and the region that signatures name."""

    before: str
    region: str


def place_of(request: AWSPreparedRequest) -> Place | None:
    """Return where the bucket is that a request was about, and nothing else; None where it is not signed as usual."""
    said = request.headers.get("Authorization", "")
    scope = _SCOPE.match(said.decode() if isinstance(said, bytes) else said)
    parts = urlsplit(request.url)
    if scope is None or parts.query:
        return None
    return Place(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/", scope[1])


class Direct:
    """The objects of one bucket. Methods are those of boto3's client, as far as we use them, errors included.

    Args:
        client: of boto3, for what is not so usual.
        place: of the bucket.
        credentials: of whoever asks; they may change meanwhile.
        http: for the requests.
    """

    def __init__(self, client: Any, place: Place, credentials: Credentials, http: URLLib3Session) -> None:
        self._client = client
        self._place = place
        self._host = urlsplit(place.before).netloc
        self._credentials = credentials
        self._http = http
        self._parser = create_parser("rest-xml")
        self._key: DayKey | None = None

    def put_object(self, **asked: Any) -> Mapping[str, Any]:
        """Put an object, `Body` with `Metadata` under `Key` of `Bucket`; returns its `ETag`."""
        headers = {_HEADERS[name]: value for name, value in asked.items() if name not in _NO_HEADERS}
        headers |= {f"{_META}{name}": value for name, value in asked["Metadata"].items()}
        try:
            found = self._send("PUT", asked["Key"], headers, asked["Body"])
        except ClientError as error:
            if not _elsewhere(error):
                raise
            return self._client.put_object(**asked)
        return {"ETag": found["etag"]}

    def head_object(self, **asked: Any) -> Mapping[str, Any]:
        """Look at `Key` of `Bucket`; returns `ETag`, `ContentLength`, `ContentType` and `Metadata`."""
        try:
            found = self._send("HEAD", asked["Key"], {}, b"")
        except ClientError as error:
            if not _elsewhere(error):
                raise
            return self._client.head_object(**asked)
        return {
            "ETag": found["etag"],
            "ContentLength": int(found.get("content-length", 0)),
            "ContentType": found.get("content-type", ""),
            "Metadata": {name.removeprefix(_META): text for name, text in found.items() if name.startswith(_META)},
        }

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, method: str, name: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers of the answer, with names in lower case.

        Raises:
            ClientError: the server refuses the request, or cannot do it now.
            BotoCoreError: there is no answer.
        """
        url = self._place.before + quote(name, safe="/~")
        asked_by, at = self._credentials.get_frozen_credentials(), datetime.now(UTC)
        login = Login(asked_by.access_key, asked_by.secret_key, asked_by.token or "")
        self._key = key = day_key(login, self._place.region, at, self._key)
        everything = signed(
            method, urlsplit(url).path, {**headers, "host": self._host}, _digest(headers, body), key=key, at=at
        )
        if method == "PUT":
            everything["content-length"] = str(len(body))
        answer = self._http.send(AWSPreparedRequest(method, url, everything, body or None, stream_output=False))
        if answer.status_code >= 300:
            refused = {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content}
            raise ClientError(self._parser.parse(refused, None), f"{method.title()}Object")
        return {name.lower(): value for name, value in answer.headers.items()}


def _digest(headers: Mapping[str, str], body: bytes) -> str:
    """Return the SHA-256 of a body in hexadecimal digits, which is in its checksum already where it has one."""
    checksum = headers.get(_CHECKSUM)
    if checksum is not None:
        return base64.b64decode(checksum).hex()
    return hashlib.sha256(body).hexdigest()


def _elsewhere(error: ClientError) -> bool:
    return str(error.response.get("Error", {}).get("Code", "")) in _ELSEWHERE
