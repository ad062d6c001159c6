"""The outbox pattern: inserts into one table become messages of their own, routed by a column.

What Debezium's outbox event router (`io.debezium.transforms.outbox.EventRouter`) makes with the JSON converter.
Deletes are expected, since rows are removed after they were sent.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog

from connectors.cdc.envelope import Headers, Record
from connectors.cdc.errors import Fatal, Misconfigured
from connectors.cdc.json_payload import expand
from connectors.cdc.outbox_options import ROUTED_BY_VALUE, Outbox
from connectors.cdc.publisher import ANY_PARTITION
from connectors.cdc.schema_blocks import placed, struct_of, wrapped
from connectors.cdc.tables import Table
from connectors.cdc.types import NULL

log = structlog.get_logger(__name__)

_IN_WORDS = ("io.debezium.time.ZonedTimestamp", "io.debezium.time.IsoTimestamp")
_PER_MILLISECOND = {
    "io.debezium.time.Timestamp": 1,
    "org.apache.kafka.connect.data.Timestamp": 1,
    "io.debezium.time.MicroTimestamp": 1_000,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_YEAR_9999 = 253_402_300_800_000  # no time of Kafka is later, and infinity is


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
    row = {
        column.name: _Cell(value, schema)
        for column, value, schema in zip(table.columns, encoded, table.schemas, strict=True)
    }
    payload = _payload(outbox, _column(row, outbox.payload, "payload"))
    headers: Headers = [("id", _text(_column(row, outbox.id, "id").value))]
    envelope = {"payload": payload}
    partition = ANY_PARTITION
    for field in outbox.fields:
        found = _column(row, field.column, "fields")
        if field.placement == "header":
            headers.append((field.alias, _text(found.value)))
        elif field.placement == "envelope":
            envelope[field.alias] = found
        elif not found.value.isdigit():
            raise Misconfigured(f"source.outbox_fields: {table}.{field.column} has to be the number of a partition")
        else:
            partition = int(found.value)
    route = _text(_column(row, outbox.route_by, "route_by").value)
    if route is None:
        raise Misconfigured(f"source.outbox_route_by: {table}.{outbox.route_by} is null, so its message has no topic")
    value = payload if len(envelope) == 1 else _enveloped(envelope, f"{table.topic}.{route.decode()}.Value")
    written = _with_schema if table.value_schema is not None else _alone
    record = Record(
        written(_column(row, outbox.key, "key")),
        None if outbox.tombstone_on_empty and _is_empty(payload.value) else written(value),
        headers,
        _timestamp_ms(table, outbox.timestamp, _column(row, outbox.timestamp, "timestamp"))
        if outbox.timestamp
        else None,
    )
    return Routed(outbox.topic.replace(ROUTED_BY_VALUE, route.decode()), partition, record)


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


class _Cell(NamedTuple):
    """A value as JSON, and its placed schema."""

    value: bytes
    schema: dict[str, Any]


def _with_schema(cell: _Cell) -> bytes:
    return wrapped(msgspec.json.encode(cell.schema), cell.value)


def _alone(cell: _Cell) -> bytes:
    return cell.value


def _enveloped(members: Mapping[str, _Cell], name: str) -> _Cell:
    """Return an object of these members; `name` is that of its schema."""
    value = b",".join([msgspec.json.encode(member) + b":" + cell.value for member, cell in members.items()])
    fields = [{**cell.schema, "field": member} for member, cell in members.items()]
    return _Cell(b"{%b}" % value, placed(struct_of(fields, name=name), optional=False))


def _column(row: Mapping[str, _Cell], name: str, option: str) -> _Cell:
    try:
        return row[name]
    except KeyError:
        raise Misconfigured(f"source.outbox_{option}: the outbox table has no column {name}") from None


def _payload(outbox: Outbox, cell: _Cell) -> _Cell:
    if not outbox.expand_json or not cell.value.startswith(b'"'):
        return cell
    expanded = expand(msgspec.json.decode(cell.value, type=str))
    if expanded is None:
        return cell  # as Debezium does: what cannot be expanded stays text
    return _Cell(expanded.value, placed(expanded.schema, optional=True))


def _timestamp_ms(table: Table, name: str, cell: _Cell) -> int | None:
    """Return a column's time in milliseconds since 1970, rounded down; None where Kafka has no such time."""
    kind, found = cell.schema.get("name"), -1
    if kind not in _IN_WORDS and kind not in _PER_MILLISECOND:
        raise Misconfigured(f"source.outbox_timestamp: {table}.{name} has to be a column of timestamps")
    if kind in _IN_WORDS and cell.value != NULL:
        with suppress(ValueError):  # infinity, and years that no calendar of Python has
            since = datetime.fromisoformat(msgspec.json.decode(cell.value, type=str)) - _EPOCH
            found = since // timedelta(milliseconds=1)
    elif cell.value != NULL:
        found = int(cell.value) // _PER_MILLISECOND[kind]
    if 0 <= found < _END_OF_YEAR_9999:
        return found
    # Nothing that was written into a row may stop the source: it would stop at this row again, for ever.
    log.warning("outbox_time_unusable", table=str(table), column=name)
    return None


def _is_empty(payload: bytes) -> bool:
    text = _text(payload)
    return text is None or not text.strip()


def _text(encoded: bytes) -> bytes | None:
    """Return a value as headers hold it: texts without quotes, everything else as in JSON."""
    if encoded == NULL:
        return None
    return msgspec.json.decode(encoded, type=str).encode() if encoded.startswith(b'"') else encoded
