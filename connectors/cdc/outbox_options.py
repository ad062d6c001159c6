"""The options of the outbox event router, each as Debezium has it."""

from typing import Literal, NamedTuple

from msgspec import Struct

from connectors.cdc.errors import Misconfigured

ROUTED_BY_VALUE = "${routedByValue}"

Placement = Literal["header", "envelope", "partition"]
InvalidOperation = Literal["warn", "error", "fatal"]


class AdditionalField(NamedTuple):
    """A column that goes somewhere else than into the payload, under another name."""

    column: str
    placement: Placement
    alias: str


class Outbox(Struct, frozen=True, kw_only=True):
    """Where messages are in the outbox table and where they go.

    Attributes:
        table: "<schema>.<table>".
        id: column of the message's id, the header `id`: `table.field.event.id`.
        key: column of the record's key: `table.field.event.key`.
        timestamp: column of the record's time, "" for the time of sending: `table.field.event.timestamp`.
        payload: column of the value: `table.field.event.payload`.
        route_by: column that decides the topic: `route.by.field`.
        topic: the topic, with ROUTED_BY_VALUE for what that column holds: `route.topic.replacement`.
        fields: other columns that are sent too: `table.fields.additional.placement`.
        expand_json: a payload that is JSON becomes a part of the value, not a text: `table.expand.json.payload`.
        tombstone_on_empty: an empty payload becomes a tombstone: `route.tombstone.on.empty.payload`.
        invalid_operation: of updates: "warn" and "error" log them, "fatal" ends the source:
            `table.op.invalid.behavior`.
    """

    table: str
    id: str = "id"
    key: str = "aggregateid"
    timestamp: str = ""
    payload: str = "payload"
    route_by: str = "aggregatetype"
    topic: str = f"outbox.event.{ROUTED_BY_VALUE}"
    fields: tuple[AdditionalField, ...] = ()
    expand_json: bool = False
    tombstone_on_empty: bool = False
    invalid_operation: InvalidOperation = "warn"


def parse_field(text: str) -> AdditionalField:
    """Read "<column>:<placement>[:<alias>]".

    Raises:
        Misconfigured: it is not like that.
    """
    column, _, rest = text.partition(":")
    placement, _, alias = rest.partition(":")
    if not column or placement not in ("header", "envelope", "partition"):
        raise Misconfigured(f"source.outbox_fields: {text!r}; write column:header, column:envelope or column:partition")
    return AdditionalField(column, placement, alias or column)
