"""What InfluxDB's answers mean for a batch, for single lines, and for whoever set it up.

Statuses and messages as InfluxDB 2.7 gives them: a batch of which some lines are refused is 422 (400 before 2.1 and in
the cloud) with "partial write" in its message, and the others are applied; any other 400 applies nothing.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from connectors.sinks.errors import Fatal, SinkError, Unavailable
from schemas.writes import TimeSeriesWrite

OPTION = "stores.timeseries"

_CONFLICT = re.compile(
    r'field type conflict: input field "(?P<field>.*)" on measurement "(?P<measurement>.*)" is type (?P<type>\w+)'
)
_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "float", str: "string"}
_LONGEST = 400


class Refusal(NamedTuple):
    """Lines that were refused. `partial`: the others of the same request are applied, else none is."""

    reason: str
    partial: bool

    def reason_of(self, write: TimeSeriesWrite) -> str:
        """Return why this write was refused, one of those that are.

        The server gives one reason for all. Where it names a field, a write that has no such field was refused for
        another one, of which only its kind is known.
        """
        conflict = _CONFLICT.search(self.reason)
        if conflict is None or write.measurement != conflict["measurement"]:
            return self.reason
        name = conflict["field"]
        if _TYPES.get(type(write.fields.get(name))) == conflict["type"]:
            return f"`fields.{name}`: {self.reason}"
        return f"`fields`: one of them has another type than in the bucket, as in this write beside it: {self.reason}"


def message_of(body: bytes) -> str:
    """Return the message of an error, cut to a length that a log can bear."""
    try:
        message = msgspec.json.decode(body, type=dict[str, object]).get("message", "")
    except msgspec.MsgspecError:
        message = body.decode("utf-8", "replace")
    return str(message)[:_LONGEST]


def refusal(status: int, body: bytes) -> Refusal | None:
    """Return what a failed write says of its lines; None when it says nothing of them."""
    if status not in (400, 413, 422):
        return None
    if status == 413:
        return Refusal("larger than the server takes in one request", partial=False)
    message = message_of(body)
    if status == 422 and "partial write" not in message:
        return None
    if "unable to parse" in message and "partial write" not in message:
        message = "InfluxDB cannot parse the line"  # its own message repeats the line, values included
    reason = message.partition("partial write: ")[2] or message
    return Refusal(re.sub(r" dropped=\d+$", "", reason), partial="partial write" in message)


def failure(status: int, body: bytes, after: str | None) -> SinkError:
    """Return what a failed request means when it is no single line's fault."""
    message = message_of(body)
    if status in (401, 403):
        return Fatal(f"InfluxDB refuses `{OPTION}.token` ({message}); give it one that may read and write the bucket")
    if status == 404:
        return Fatal(
            f"InfluxDB: {message}; see `{OPTION}.organisation`, `{OPTION}.bucket` and `{OPTION}.create_bucket`"
        )
    if status == 429 or status >= 500:
        return Unavailable(f"InfluxDB answers {status}: {message}", after=_seconds(after))
    return Fatal(f"InfluxDB answers {status}: {message}; is `{OPTION}.url` an InfluxDB 2?")


def _seconds(after: str | None) -> float | None:
    return float(after) if after is not None and after.isdecimal() else None
