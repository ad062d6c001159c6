"""The pass over a batch of row changes: decode, embed, route, and what enrichment should know from now on."""

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from connectors.embedders import text_hash
from connectors.keys.contents import WriteSeal
from schemas.changes import InvalidChange, Row, decode_change
from schemas.conflicts import encode_conflict_record
from schemas.reference import PlaceVector
from schemas.topics import Catalogue
from schemas.wire import InvalidFrame, Unframe
from schemas.writes import Write
from streams.agents.ingest import COMPONENT, UNREADABLE, Ingest
from streams.agents.large_values import Part
from streams.conflicts.rules import subject_of
from streams.deadletters import dead_letter
from streams.routing.changes import (
    PLACES,
    TRAVELLERS,
    RowChange,
    history,
    is_told,
    read_change,
    reference_of,
    route_change,
)
from streams.routing.meaning import Vector
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record


class Refused(Struct, frozen=True, gc=False):
    """A record that is no change, and why."""

    record: Record
    error: ValueError


class Decoded(Struct, frozen=True):
    """What became of a batch; records that concern no row are in neither list."""

    changes: list[RowChange]
    refused: list[Refused]


def decode(records: Sequence[Record], unframe: Unframe) -> Decoded:
    """Decode and check a batch, in its order.

    Raises:
        RegistryError: a framed value cannot be read now; the batch has to be tried again.
    """
    decoded = Decoded([], [])
    for record in records:
        try:
            change = _read(record, unframe)
        except (InvalidChange, InvalidFrame) as error:
            decoded.refused.append(Refused(record, error))
        else:
            if change is not None:
                decoded.changes.append(change)
    return decoded


class ChangePass:
    """Processes the runs of the topics of changes. It keeps no state: changes are ordered by their LSN.

    Those of types that have a strategy are only claims: what follows from them, `streams.agents.reconcile` decides.
    """

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, its outputs are in Kafka."""
        await self._ingest.in_parts(records, self._process)

    async def _process(self, part: Part) -> None:
        ingest = self._ingest
        decoded = await ingest.unframing(part, lambda unframe: decode(part.records, unframe))
        outputs = [
            dead_letter(
                ingest.catalogue,
                one.record,
                component=COMPONENT,
                stage="decode",
                error=one.error,
                schema="Change",
            )
            for one in decoded.refused
        ]
        going = decoded.changes
        if ingest.erasure is not None:
            outputs += [to_person(ingest.catalogue, one) for one in going if one.table in TRAVELLERS]
            going = [one for one in going if one.table not in TRAVELLERS]
        await ingest.publish([*outputs, *await followed(ingest, going)])


def to_person(catalogue: Catalogue, change: RowChange) -> Outgoing:
    """Return a change of a person's row for the partition that knows whether they are erased."""
    return Outgoing(catalogue.person_changes.name, change.row_id.encode(), msgspec.json.encode(change.change))


async def followed(ingest: Ingest, changes: Sequence[RowChange]) -> list[Outgoing]:
    """Return all that goes out for changes: claims where they are settled, else what follows from them.

    Raises:
        TryAgain: the keys cannot be had; the batch has to be tried again.
    """
    outputs: list[Outgoing] = []
    direct: list[RowChange] = []
    changes = changes if ingest.sealing is None else await ingest.sealing.changes(changes)
    seal = await seal_of(ingest, changes)
    for change in changes:
        claim = None if ingest.rules is None else ingest.rules.claim_of(change)
        if claim is None:
            direct.append(change)
        else:
            name = subject_of(claim.table, claim.id).encode()
            outputs.append(Outgoing(ingest.catalogue.claims.name, name, encode_conflict_record(claim)))
            outputs.extend(ingest.outgoing(sealed_for(change, [history(change)], seal)))
    return [*outputs, *routed(ingest, direct, seal)]


async def seal_of(ingest: Ingest, changes: Iterable[RowChange]) -> WriteSeal:
    """Return what seals the contents of writes that follow from rows of travellers. Raises as `Ingest.sealed`."""
    return await ingest.write_seal(one.row_id for one in changes if one.table in TRAVELLERS)


def sealed_for(change: RowChange, writes: Sequence[Write], seal: WriteSeal) -> list[Write]:
    """Return the writes of a change, sealed where its row is a traveller."""
    return seal(change.row_id, writes) if change.table in TRAVELLERS else list(writes)


def routed(ingest: Ingest, changes: Sequence[RowChange], seal: WriteSeal) -> list[Outgoing]:
    """Return what goes out for changes: writes, sagas, and what enrichment should know from now on.

    Enrichment is told again only what it may not know: of each change of a row's phone every worker would else hear.
    """
    outputs: list[Outgoing] = []
    kept = [_kept(ingest, change) for change in changes]
    texts = [one.listing.text if one.listing else None for one in changes]
    for change, old, vector in zip(changes, kept, ingest.embedders.texts_but(texts, kept), strict=True):
        outputs.extend(ingest.of_change(change, sealed_for(change, list(route_change(change, vector)), seal)))
        told, known = is_told(change), reference_of(change)
        if not (told and known is not None and ingest.reference.holds(known)):
            outputs.extend(_reference(ingest.catalogue, change))
        if not (told and old is not None):
            outputs.extend(_meaning(ingest.catalogue, change, vector))
    return outputs


def _kept(ingest: Ingest, change: RowChange) -> bytes | None:
    """Return the vector of a place's text where that is what it was; the model need not be asked for it."""
    if change.listing is None:
        return None
    return ingest.reference.vector_of(change.row_id, text_hash(change.listing.text), ingest.embedders.text_model)


def _reference(catalogue: Catalogue, change: RowChange) -> list[Outgoing]:
    if change.table in PLACES:
        topic = catalogue.reference_places
    elif change.table in TRAVELLERS:
        topic = catalogue.reference_users
    else:
        return []
    known = reference_of(change)
    value = None if known is None else msgspec.json.encode(known)
    return [Outgoing(topic.name, change.row_id.encode(), value)]


def _meaning(catalogue: Catalogue, change: RowChange, vector: Vector | None) -> list[Outgoing]:
    if change.table not in PLACES:
        return []
    value = None
    if vector is not None and change.listing is not None:
        known = PlaceVector(
            lsn=change.cause["version"],
            model=vector.model,
            values=vector.values,
            text_hash=text_hash(change.listing.text),
        )
        value = msgspec.json.encode(known)
    return [Outgoing(catalogue.reference_vectors.name, change.row_id.encode(), value)]


def _read(record: Record, unframe: Unframe) -> RowChange | None:
    if record.value is None:
        return None  # the tombstone after a delete: the delete has said it all
    change = decode_change(unframe(record.value, record.headers))
    # A converter that frames values frames keys as well; the header with a schema id speaks of the value only.
    key = unframe(record.key, ()) if record.key else None
    return None if change is None else read_change(change, _key(key))


def _key(data: bytes | None) -> Row | None:
    """Return the primary key by column; None when there is none.

    With `schemas.enable` a key is wrapped as values are.
    """
    try:
        key = msgspec.json.decode(data or b"null")
    except UNREADABLE as error:
        raise InvalidChange(f"the key is not JSON: {error}") from error
    if isinstance(key, dict) and key.keys() == {"schema", "payload"}:
        key = cast(Row, key)["payload"]
    return cast(Row, key) if isinstance(key, dict) else None
