"""What errors of Elasticsearch's client mean for a batch, and for whoever set it up."""

from collections.abc import Generator
from contextlib import contextmanager

from elastic_transport import ApiError, ConnectionError, ConnectionTimeout, TlsError, TransportError  # noqa: A004
from elasticsearch import UnsupportedProductError

from connectors.sinks.elasticsearch.bulk import BLOCKED_SECONDS, PASSING
from connectors.sinks.errors import BatchTooLarge, Fatal, SinkError, Unavailable

OPTIONS = "stores.search"

_UNAUTHORIZED, _FORBIDDEN, _TOO_LARGE, _TOO_MANY = 401, 403, 413, 429


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of the client into the closed set of the contract.

    Raises:
        Unavailable: no node answers, or they ask to be left alone.
        BatchTooLarge: the request is larger than http.max_content_length.
        Fatal: address, certificate, login or rights; names the option.
    """
    try:
        yield
    except (ApiError, TransportError, UnsupportedProductError) as error:
        raise meaning(error) from error


def meaning(error: Exception) -> SinkError:
    """Return what an error means. No message repeats a document or a secret."""
    match error:
        case TlsError():
            return Fatal(f"Elasticsearch's certificate is not accepted ({error.message}); check `{OPTIONS}.ca_file`")
        case ConnectionTimeout():
            return Unavailable(f"Elasticsearch did not answer within `{OPTIONS}.request_seconds`")
        case ConnectionError():
            return Unavailable(f"Elasticsearch does not answer: {error.message}")
        case ApiError():
            return _of_response(error)
        case _:
            return Fatal(f"what answers at `{OPTIONS}.url` is not Elasticsearch as its client expects: {error}")


def _of_response(error: ApiError) -> SinkError:
    status, kind = error.meta.status, str(error.message)
    if status == _UNAUTHORIZED:
        return Fatal(
            f"Elasticsearch refuses the login; check `{OPTIONS}.username` and `{OPTIONS}.password`, or "
            f"`{OPTIONS}.api_key`"
        )
    if status == _TOO_LARGE:
        return BatchTooLarge("the request is larger than http.max_content_length of Elasticsearch allows")
    if kind in PASSING:
        return Unavailable(f"Elasticsearch: {kind}", BLOCKED_SECONDS)
    if status == _FORBIDDEN:
        return Fatal(
            f"Elasticsearch refuses ({kind}); `{OPTIONS}` needs the rights manage_index_templates (cluster) and all "
            "(its indexes)"
        )
    if status == _TOO_MANY or status >= 500:
        return Unavailable(f"Elasticsearch: {status} {kind}", _asked_for(error))
    return Fatal(f"Elasticsearch: {status} {kind}")


def _asked_for(error: ApiError) -> float | None:
    """Return the seconds of Retry-After; its other form, a date, is not sent by Elasticsearch."""
    given = error.meta.headers.get("retry-after") or ""
    return float(given) if given.isdecimal() else None
