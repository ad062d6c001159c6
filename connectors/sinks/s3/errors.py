# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What S3's errors mean for one object, for a batch, and for whoever set it up.

Codes: Amazon S3 API reference, "Error responses".
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions

from connectors.sinks.errors import Fatal, SinkError, Unavailable

OPTION = "stores.objects"

_LOGIN = (
    *("AccessDenied", "AccountProblem", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("ExpiredToken", "InvalidToken", "XAdminUserNotFound"),  # the last one is versitygw's
)
_KEYS = ("KMS.DisabledException", "KMS.NotFoundException", "KMS.AccessDeniedException", "KMS.InvalidKeyUsageException")
_REGION = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
)
# Somebody else was faster. 409 is Amazon's answer when two conditional requests meet.
_RACES = (
    *("PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"),
    *("NoSuchKey", "NoSuchUpload", "BucketAlreadyOwnedByYou"),
)
_FULL = ("QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "ServiceUnavailable", "SlowDown")
_PASSING = (*_FULL, "InternalError", "RequestTimeout", "RequestTimeTooSkewed", "ThrottlingException", "Throttling")


class LostRaceError(Exception):
    """The condition of a request did not hold: what lies there is not what was looked at."""


class RefusedError(Exception):
    """S3 will never take this object; the message says why, without any of it."""


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of one request into what they mean.

    Raises:
        LostRaceError: look again.
        RefusedError: this one object cannot be kept.
        Unavailable: no answer, too many requests, no room.
        Fatal: login, bucket or encryption key; names the option.
    """
    try:
        yield
    except exceptions.ClientError as error:
        raise _meaning(error) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise Fatal(f"S3: {error}; set `{OPTION}.access_key` and `{OPTION}.secret_key`") from error
    except (exceptions.ParamValidationError, exceptions.InvalidRegionError, ValueError) as error:
        raise Fatal(f"S3: {error}; see `{OPTION}.bucket`, `{OPTION}.endpoint` and `{OPTION}.region`") from error
    except exceptions.SSLError as error:
        raise Fatal(f"S3's certificate is refused ({error}); see `{OPTION}.ca_file`") from error
    except (exceptions.BotoCoreError, OSError) as error:
        raise Unavailable(f"S3 does not answer: {error}") from error


def _meaning(error: exceptions.ClientError) -> SinkError | LostRaceError | RefusedError:
    answer: dict[str, Any] = dict(error.response)
    code = str(answer.get("Error", {}).get("Code", ""))
    text = f"{code}: {answer.get('Error', {}).get('Message', '')}"
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    headers: dict[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if code == "NoSuchBucket":
        return Fatal(f"S3: {text}; see `{OPTION}.bucket` and `{OPTION}.create_bucket`")
    if code in _RACES or code in ("404", "412"):  # an answer to HEAD has no body, so no name
        return LostRaceError(text)
    if code in _PASSING or status in (408, 429) or status >= 500:
        after = headers.get("retry-after", "")
        return Unavailable(f"S3: {text}", after=float(after) if after.isdecimal() else None)
    hint = _hint(code, status)
    return RefusedError(text) if hint is None else Fatal(f"S3: {text}; see {hint}")


def _hint(code: str, status: int) -> str | None:
    """Return which options are to blame; None when the object is."""
    if code in _LOGIN or status in (401, 403):
        return f"`{OPTION}.access_key` and `{OPTION}.secret_key`"
    if code in _KEYS:
        return f"`{OPTION}.kms_key`"
    return f"`{OPTION}.region`" if code in _REGION else None
