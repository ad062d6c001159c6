"""Records whose values go to the object store."""

from connectors.large_values import LargeValues, ValueTooLarge
from connectors.producers.errors import LargeValueNotStored, Refused
from connectors.producers.records import Record
from connectors.sinks.errors import SinkError
from schemas.claims import encode_claim

_JSON = "application/json"


def claimed(record: Record, values: LargeValues) -> tuple[Record, bytes]:
    """Put the value of an event's record into the object store.

    Returns:
        The record that carries the claim to it, and the value itself.

    Raises:
        LargeValueNotStored: the store does not take it now.
        Refused: it is too large for those who fetch it.
    """
    topic, key, value, headers = record
    data = value or b""  # never None for an event
    try:
        claim = values.put(data, _JSON)
    except ValueTooLarge as error:
        raise Refused(str(error)) from error
    except SinkError as error:
        raise LargeValueNotStored(str(error)) from error
    carried, header = encode_claim(claim)
    return (topic, key, carried, [*headers, header]), data
