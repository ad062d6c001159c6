"""Signature version 4 of a request to S3, whose headers are all signed. Pure.

Amazon's documentation, "Authenticating Requests (AWS Signature Version 4)". A tenth of the time that botocore takes,
which makes an object of the request first; its signatures are the same.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

_ALGORITHM = "AWS4-HMAC-SHA256"


class Login(NamedTuple):
    """Who asks; `token` is empty unless the keys are temporary. No secret is in a repr."""

    access_key: str
    secret_key: str
    token: str

    def __repr__(self) -> str:
        """Say whose."""
        return f"Login({self.access_key!r})"


def signed(
    method: str, path: str, headers: Mapping[str, str], digest: str, *, login: Login, region: str, at: datetime
) -> dict[str, str]:
    """Return the headers of a request without a query, with its signature.

    Args:
        method: as in `PUT`.
        path: of its URL, as it is sent.
        headers: with `host`; names in lower case.
        digest: SHA-256 of its body, in hexadecimal digits.
        login: who asks.
        region: of the bucket.
        at: the time, in UTC.
    """
    stamp = f"{at:%Y%m%dT%H%M%SZ}"
    everything = {**headers, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if login.token:
        everything["x-amz-security-token"] = login.token
    names = sorted(everything)
    listed = ";".join(names)
    lines = [f"{name}:{' '.join(everything[name].split())}" for name in names]
    request = "\n".join([method, path, "", *lines, "", listed, digest])
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{login.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    everything["authorization"] = (
        f"{_ALGORITHM} Credential={login.access_key}/{scope}, SignedHeaders={listed}, Signature={key.hex()}"
    )
    return everything
