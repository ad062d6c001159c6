"""The outbox pattern: inserts into one table become messages of their own, routed by a column.

What Debezium's outbox event router (`io.debezium.transforms.outbox.EventRouter`) makes with the JSON converter and
`schemas.enable=false`. Deletes are expected, since rows are removed after they were sent.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from connectors.cdc.envelope import Headers, Record
from connectors.cdc.errors import Fatal, Misconfigured
from connectors.cdc.outbox_options import ROUTED_BY_VALUE, Outbox
from connectors.cdc.publisher import ANY_PARTITION
from connectors.cdc.tables import Table
from connectors.cdc.types import NULL

log = structlog.get_logger(__name__)


class Routed(NamedTuple):
    """A message on its way: the topic, the partition or ANY_PARTITION, the record."""

    topic: str
    partition: int
    record: Record


def routed(outbox: Outbox, table: Table, encoded: Sequence[bytes]) -> Routed:
    """Return the message that an inserted row holds.

    Args:
        outbox: the options.
        table: the outbox table.
        encoded: the row, each value as JSON.

    Raises:
        Misconfigured: the table has no such column, or a column does not hold what its placement needs.
    """
    row = {column.name: value for column, value in zip(table.columns, encoded, strict=True)}
    value = _payload(outbox, _column(row, outbox.payload, "payload"))
    headers: Headers = [("id", _text(_column(row, outbox.id, "id")))]
    members = [] if value is None else [b'"payload":' + value]
    partition, wrapped = ANY_PARTITION, False
    for field in outbox.fields:
        found = _column(row, field.column, "fields")
        if field.placement == "header":
            headers.append((field.alias, _text(found)))
        elif field.placement == "envelope":
            wrapped = True
            members.append(msgspec.json.encode(field.alias) + b":" + found)
        elif not found.isdigit():
            raise Misconfigured(f"source.outbox_fields: {table}.{field.column} has to be the number of a partition")
        else:
            partition = int(found)
    if wrapped and value is not None:
        value = b"{" + b",".join(members) + b"}"
    route = _text(_column(row, outbox.route_by, "route_by"))
    if route is None:
        raise Misconfigured(f"source.outbox_route_by: {table}.{outbox.route_by} is null, so its message has no topic")
    key = _column(row, outbox.key, "key")
    topic = outbox.topic.replace(ROUTED_BY_VALUE, route.decode())
    return Routed(topic, partition, Record(None if key == NULL else key, value, headers))


def refuse_update(outbox: Outbox) -> None:
    """Say that a row of the outbox was updated, which sends nothing.

    Raises:
        Fatal: the options want that.
    """
    if outbox.invalid_operation == "fatal":
        raise Fatal(
            f"source.outbox_invalid_operation: a row of {outbox.table} was updated, and messages that were sent cannot "
            'be changed; insert a new one, or set it to "warn"'
        )
    say = log.warning if outbox.invalid_operation == "warn" else log.error
    say("outbox_update_ignored", table=outbox.table)


def _column(row: Mapping[str, bytes], name: str, option: str) -> bytes:
    try:
        return row[name]
    except KeyError:
        raise Misconfigured(f"source.outbox_{option}: the outbox table has no column {name}") from None


def _payload(outbox: Outbox, encoded: bytes) -> bytes | None:
    if encoded == NULL:
        return None
    text = _text(encoded)
    if outbox.tombstone_on_empty and text is not None and not text.strip():
        return None
    if outbox.expand_json and encoded.startswith(b'"') and text is not None and text.lstrip()[:1] in (b"{", b"["):
        try:
            return msgspec.json.encode(msgspec.json.decode(text))
        except msgspec.DecodeError:
            return encoded  # as Debezium does: what cannot be expanded stays text
    return encoded


def _text(encoded: bytes) -> bytes | None:
    """Return a value as headers hold it: texts without quotes, everything else as in JSON."""
    if encoded == NULL:
        return None
    return msgspec.json.decode(encoded, type=str).encode() if encoded.startswith(b'"') else encoded
