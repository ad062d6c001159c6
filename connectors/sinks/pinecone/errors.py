"""What errors of Pinecone's SDK mean for a batch, and for whoever set it up.

Statuses as https://docs.pinecone.io/reference/api/errors says. A request that is refused (400, 413, 422) is refused as
a whole: nothing of it is applied.
"""

from collections.abc import Generator
from contextlib import contextmanager

from pinecone.errors import (
    ApiError,
    PineconeConnectionError,
    PineconeError,
    PineconeTimeoutError,
    RateLimitError,
    ResponseParsingError,
)

from connectors.sinks.errors import Fatal, SinkError, Unavailable

OPTION = "stores.vector"

_REFUSED = (400, 413, 422)
_LONGEST = 300


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of the SDK into the closed set of the contract.

    Raises:
        Unavailable: Pinecone does not answer, or asks to be left alone.
        Fatal: key, rights, address or index; names the option.
    """
    try:
        yield
    except PineconeError as error:
        raise meaning(error) from error


def meaning(error: PineconeError) -> SinkError:
    """Return what an error means. No message repeats a record or a secret."""
    match error:
        case ApiError():
            return _of_answer(error)
        case PineconeTimeoutError():
            return Unavailable(f"Pinecone did not answer within `{OPTION}.request_seconds`")
        case PineconeConnectionError():
            return Unavailable(f"Pinecone does not answer: {said(error)}")
        case ResponseParsingError():
            return Unavailable("Pinecone's answer is no answer to what was asked")
        case _:
            return Fatal(f"the client of Pinecone cannot work with `{OPTION}`: {said(error)}")


def _of_answer(error: ApiError) -> SinkError:
    status = error.status_code
    if isinstance(error, RateLimitError):
        return Unavailable("Pinecone answers 429: too many requests", after=error.retry_after)
    if status >= 500 or status == 408:
        return Unavailable(f"Pinecone answers {status}")
    hint = {
        401: f"give it a valid `{OPTION}.api_key`",
        402: f"see the plan of the project of `{OPTION}.api_key`",
        403: f"see the rights of `{OPTION}.api_key`, and the plan of its project",
        404: f"see `{OPTION}.index` and `{OPTION}.create_index`",
    }.get(status, f"see the options `{OPTION}`")
    return Fatal(f"Pinecone answers {status}: {said(error)}; {hint}")


def no_room(error: PineconeError) -> Unavailable | None:
    """Return what is to be waited for where the project's plan takes no more; None when the error says something else.

    Upserts and updates over the limit are answered so, until records are deleted or the plan is another one:
    https://docs.pinecone.io/reference/api/database-limits/object-limits
    """
    if isinstance(error, ApiError) and error.status_code == 403 and error.error_code == "QUOTA_EXCEEDED":
        return Unavailable(f"the plan of the project of `{OPTION}.api_key` has no room: {said(error)}")
    return None


def refusal(error: PineconeError) -> str | None:
    """Return why a request is refused for what is in it; None when that is not what the error says."""
    if isinstance(error, ApiError) and error.status_code in _REFUSED:
        return f"Pinecone refuses the record ({error.status_code}): {said(error)}"
    if isinstance(error, ValueError | TypeError):  # the SDK looks at a request before it is sent
        return f"the client of Pinecone refuses the record: {said(error)}"
    return None


def said(error: PineconeError) -> str:
    """Return a message without the value that it may end with, cut to a length that a log can bear."""
    return error.message.partition(", got")[0].partition(": got")[0][:_LONGEST]
