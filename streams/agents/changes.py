"""The pass over a batch of row changes: decode, embed, route, and what enrichment should know from now on."""

from collections.abc import Sequence
from typing import cast

import msgspec

from schemas.changes import InvalidChange, Row, decode_change
from schemas.wire import InvalidFrame
from streams.agents.ingest import COMPONENT, Ingest
from streams.deadletters import dead_letter
from streams.routing.changes import PLACES, TRAVELLERS, RowChange, read_change, reference_of, route_change
from streams.runtime.publisher import Outgoing
from streams.runtime.transport import Record


class ChangePass:
    """Processes the runs of the topics of changes. It keeps no state: changes are ordered by their LSN."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, its outputs are in Kafka."""
        outputs: list[Outgoing] = []
        changes: list[RowChange] = []
        for record in records:
            try:
                change = self._read(record)
            except (InvalidChange, InvalidFrame) as error:
                outputs.append(
                    dead_letter(
                        self._ingest.catalogue,
                        record,
                        component=COMPONENT,
                        stage="decode",
                        error=error,
                        schema="Change",
                    )
                )
            else:
                if change is not None:
                    changes.append(change)
        vectors = self._ingest.embedders.texts([one.listing.text if one.listing else None for one in changes])
        for change, vector in zip(changes, vectors, strict=True):
            outputs.extend(self._ingest.outgoing(route_change(change, vector)))
            outputs.extend(self._reference(change))
        await self._ingest.publish(outputs)

    def _read(self, record: Record) -> RowChange | None:
        if record.value is None:
            return None  # the tombstone after a delete: the delete has said it all
        change = decode_change(self._ingest.unframe(record.value, record.headers))
        return None if change is None else read_change(change, _key(record.key))

    def _reference(self, change: RowChange) -> list[Outgoing]:
        if change.table in PLACES:
            topic = self._ingest.catalogue.reference_places
        elif change.table in TRAVELLERS:
            topic = self._ingest.catalogue.reference_users
        else:
            return []
        known = reference_of(change)
        value = None if known is None else msgspec.json.encode(known)
        return [Outgoing(topic.name, change.row_id.encode(), value)]


def _key(data: bytes | None) -> Row | None:
    """Return the primary key by column; None when there is none that is JSON.

    With `schemas.enable` a key is wrapped as values are.
    """
    try:
        key = msgspec.json.decode(data or b"null")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidChange(f"the key is not JSON: {error}") from error
    if isinstance(key, dict):
        row = cast(Row, key)
        return cast(Row, row["payload"]) if row.keys() == {"schema", "payload"} else row
    return None
