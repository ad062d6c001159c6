"""The Kafka headers of this project: CloudEvents, lanes and dead letters.

CloudEvents 1.0 in the Kafka binding's binary mode: the value is the event as it is, the attributes are headers
`ce_<name>`. Dead letters carry the headers of Kafka Connect's error reporter (`__connect.errors.*`), so that tools
which read those read ours, and four more of our own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from schemas.reasons import shortened

Headers = Sequence[tuple[str, bytes | None]]

CE_SPECVERSION = "ce_specversion"
CE_ID = "ce_id"
CE_TYPE = "ce_type"
CE_SOURCE = "ce_source"
CE_TIME = "ce_time"
CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"
PRIORITY = "priority"
LOW_PRIORITY = (PRIORITY, b"low")  # of an event and of the writes that follow from it: they may be put off

ERROR_TOPIC = "__connect.errors.topic"
ERROR_PARTITION = "__connect.errors.partition"
ERROR_OFFSET = "__connect.errors.offset"
ERROR_CONNECTOR = "__connect.errors.connector.name"
ERROR_TASK = "__connect.errors.task.id"
ERROR_STAGE = "__connect.errors.stage"
ERROR_CLASS = "__connect.errors.class.name"
ERROR_EXCEPTION = "__connect.errors.exception.class.name"
ERROR_MESSAGE = "__connect.errors.exception.message"
ERROR_STACKTRACE = "__connect.errors.exception.stacktrace"
ATTEMPTS = "__travelos.errors.attempts"
FIRST_FAILED_AT = "__travelos.errors.first_failed_at"
SCHEMA = "__travelos.errors.schema"
STORE = "__travelos.errors.store"
VALUE_LEFT_OUT = "__travelos.errors.value_left_out"  # its size in bytes

_ERROR_PREFIXES = ("__connect.errors.", "__travelos.errors.")


def carried_on(headers: Headers) -> Headers:
    """Return the headers of an event that the writes which follow from it have, too: low priority, trace context.

    The trace context is that of the W3C (https://www.w3.org/TR/trace-context/), as the producer gave it.
    """
    return [one for one in headers if one[0] == TRACEPARENT or one == LOW_PRIORITY]


def cloudevents_headers(*, event_id: str, event_type: str, source: str, occurred_at: datetime) -> Headers:
    """Return the attributes of one event as Kafka headers (binary content mode)."""
    time = occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return (
        (CE_SPECVERSION, b"1.0"),
        (CE_ID, event_id.encode()),
        (CE_TYPE, event_type.encode()),
        (CE_SOURCE, source.encode()),
        (CE_TIME, time.encode()),
        (CONTENT_TYPE, b"application/json"),
    )


def dead_letter_headers(
    original: Headers,
    *,
    topic: str,
    partition: int,
    offset: int,
    component: str,
    stage: str,
    error: str,
    message: str,
    attempts: int = 1,
    first_failed_at: datetime | None = None,
    schema: str | None = None,
    store: str | None = None,
    stacktrace: str | None = None,
) -> Headers:
    """Return the original headers, untouched and first, followed by what went wrong.

    Args:
        original: headers of the record that failed; error headers of an earlier failure are replaced.
        topic: where the record lay.
        partition: where the record lay.
        offset: where the record lay.
        component: the role that failed ("ingest", "deliver.graph").
        stage: the step within it ("decode", "validate", "enrich", "write").
        error: class name of the error.
        message: the reason in words; names the field where there is one.
        attempts: how often it was tried.
        first_failed_at: when it failed first; now when not given.
        schema: what the value was read as, or the registry's schema id.
        store: the store that refused it.
        stacktrace: only for errors that nobody foresaw.
    """
    failed_at = first_failed_at or datetime.now(UTC)
    added: dict[str, str | None] = {
        ERROR_TOPIC: topic,
        ERROR_PARTITION: str(partition),
        ERROR_OFFSET: str(offset),
        ERROR_CONNECTOR: component,
        ERROR_TASK: "0",
        ERROR_STAGE: stage,
        ERROR_CLASS: error,
        ERROR_EXCEPTION: error,
        ERROR_MESSAGE: shortened(message),
        ERROR_STACKTRACE: stacktrace,
        ATTEMPTS: str(attempts),
        FIRST_FAILED_AT: failed_at.isoformat(),
        SCHEMA: schema,
        STORE: store,
    }
    kept = tuple(without_error_headers(original))
    # A reason may quote text that is no valid Unicode; that must not be the second failure of the same record.
    encoded = {name: value.encode("utf-8", "backslashreplace") for name, value in added.items() if value is not None}
    return kept + tuple(encoded.items())


def without_error_headers(headers: Headers) -> Headers:
    """Return headers as they were before the record failed."""
    return tuple((name, value) for name, value in headers if not name.startswith(_ERROR_PREFIXES))


def header_map(headers: Iterable[tuple[str, bytes | None]] | None) -> Mapping[str, str]:
    """Return headers by name, decoded; of repeated names the last one, as CloudEvents readers do."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers or ()}
