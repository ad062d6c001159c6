"""The right data in the right place, for rows of Postgres.

Restaurants and places go to search, vector and graph; travellers to the graph; every change of every captured table to
the warehouse. A delete removes what the insert wrote, everywhere; the warehouse keeps history and gets one more row.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, structs

from schemas.changes import Change, ChangeSource, InvalidChange, Row, is_unavailable
from schemas.clock import unpack
from schemas.fields import EARLIEST, LATEST
from schemas.persons import TRAVELLER_TABLES
from schemas.reference import Place, Profile
from schemas.writes import GraphWrite, NodeRef, Scalar, SearchWrite, VectorWrite, WarehouseWrite, Write
from streams.routing.entities import AGREED, Cause, entity, escaped
from streams.routing.listings import TOLD, Listing, listing, profile
from streams.routing.meaning import Vector
from streams.routing.shapes import relation, term


class RowChange(Struct, frozen=True, kw_only=True):
    """A change that was read: what the row is now, or that it is gone.

    `before` is what the row was when all that follows from it had gone out, or is on its way; None where nobody knows.
    """

    change: Change
    table: str  # "<schema>.<table>"
    row_id: str
    cause: Cause
    listing: Listing | None = None
    profile: Profile | None = None
    before: Row | None = None

    @property
    def deleted(self) -> bool:
        """Whether the row is gone."""
        return self.change.op == "d"


def read_change(change: Change, key: Row | None) -> RowChange | None:
    """Return what a change says; None for operations that concern no row (truncate, logical message).

    Raises:
        InvalidChange: a part that is needed is missing or wrong; the message names it.
    """
    if change.op not in {"c", "u", "d", "r"}:
        return None
    source = change.source
    table = f"{source.schema}.{source.table}"
    lsn = _order(source.lsn)
    row = change.before if change.op == "d" else change.after
    if row is None and change.op != "d":
        raise InvalidChange(f"`after` is missing in a change of {table}")
    row_id = _row_id(table, key, row)
    cause = Cause(
        version=lsn,
        source=_source_name(source.name),
        event_id=_event_id(source.name, table, row_id, lsn),
        occurred_at=_commit_time(source.ts_ms),
    )
    if change.op == "d":
        return RowChange(change=change, table=table, row_id=row_id, cause=cause)
    return RowChange(
        change=change,
        table=table,
        row_id=row_id,
        cause=cause,
        listing=listing(table, row or {}, lsn),
        profile=profile(table, row or {}, lsn),
    )


def route_change(change: RowChange, vector: Vector | None) -> list[Write]:
    """Return all writes that follow from one change; `vector` is that of the listing's text.

    The warehouse has the history of what each source said: what they have agreed on is no row of it.
    """
    writes: list[Write] = []
    if change.table in PLACES:
        writes.extend(_place(change, vector))
    if change.table in TRAVELLERS:
        writes.extend(_traveller(change))
    if change.cause["source"] != AGREED:
        writes.append(history(change))
    return writes


def agreed_change(
    table: str,
    row_id: str,
    op: Literal["c", "u", "d"],
    content: Row | None,
    version: int,
    before: Row | None = None,
) -> RowChange:
    """Return what sources have agreed on as a change, which is routed as any other.

    Args:
        table: as "<schema>.<table>".
        row_id: of the row, as `read_change` names it.
        op: what happens to the row.
        content: its columns.
        version: of the version line `AGREED`; its time is that of the change.
        before: see `RowChange`.

    Raises:
        InvalidChange: the columns are no row of the table; the message names what is missing or wrong.
    """
    schema, _, name = table.partition(".")
    ts_ms, _ = unpack(version)
    source = ChangeSource(
        version="", connector=AGREED, name=AGREED, ts_ms=ts_ms, db="", schema=schema, table=name, lsn=version
    )
    found = read_change(Change(after=content, source=source, op=op), {"id": row_id})
    assert found is not None
    return structs.replace(found, before=before)


# What `BaseWrite` allows.
LONGEST_SOURCE = 256
LONGEST_NAME = 4_096

PLACES = frozenset({"public.restaurants", "public.places"})
TRAVELLERS = TRAVELLER_TABLES


def reference_of(change: RowChange) -> Place | Profile | None:
    """Return what enrichment should know of the row from now on; None when it is gone, or of no use to it."""
    return change.listing.place if change.listing is not None else change.profile


def is_told(change: RowChange) -> bool:
    """Whether enrichment was told all that it should know of a row, but its version, when it was as before."""
    columns, before, after = TOLD.get(change.table), change.before, change.change.after
    if columns is None or before is None or after is None:
        return False
    return all(before.get(column) == after.get(column) for column in columns)


def _place(change: RowChange, vector: Vector | None) -> Iterator[Write]:
    name = entity("place", change.row_id)
    cause, found = change.cause, change.listing
    serves, located = entity("SERVES", change.row_id), entity("IN_CITY", change.row_id)
    node = NodeRef("Place", change.row_id)
    if found is None:
        yield SearchWrite(**cause, entity=name, op="delete")
        yield VectorWrite(**cause, entity=name, op="delete", namespace="places")
        # The relations go first: removing the node would remove them too, but leave no trace of their version.
        for relation_name in (serves, located):
            kind = relation_name.partition(":")[0]
            yield GraphWrite(**cause, entity=relation_name, op="delete", relation=kind, start=node)
        yield GraphWrite(**cause, entity=name, op="delete", node=node)
        return
    place = found.place
    yield SearchWrite(
        **cause,
        entity=name,
        kind=place.kind,
        name=place.name,
        text=found.text,
        lat=place.lat,
        lon=place.lon,
        score=found.score,
        fields={"city": place.city, "area": place.area, "cuisine": place.cuisine, **found.fields},
    )
    if vector is not None:
        about: dict[str, Scalar] = {"kind": place.kind, "place_id": place.id, "place": place.name, "city": place.city}
        about |= {"cuisine": place.cuisine} if place.cuisine else {}
        yield VectorWrite(
            **cause,
            entity=name,
            namespace="places",
            values=vector.values,
            model=vector.model,
            text=found.text,
            metadata=about,
        )
    properties: dict[str, Scalar] = {
        "name": place.name,
        "kind": place.kind,
        "area": place.area,
        "lat": place.lat,
        "lon": place.lon,
        "score": found.score,
    }
    yield GraphWrite(**cause, entity=name, node=node, properties=properties)
    at = ("Place", change.row_id)
    yield relation(cause, located, "IN_CITY", at, ("City", place.city), {})
    yield relation(cause, serves, "SERVES", at, term("cuisine", place.cuisine or ""), {} if place.cuisine else None)


def _traveller(change: RowChange) -> Iterator[Write]:
    name = entity("user", change.row_id)
    node = NodeRef("User", change.row_id)
    found = change.profile
    if found is None:
        yield GraphWrite(**change.cause, entity=name, op="delete", node=node)
        return
    properties: dict[str, Scalar] = {
        "name": found.name,
        "home_city": found.home_city,
        "language": found.language,
        "diet": found.diet,
    }
    yield GraphWrite(**change.cause, entity=name, node=node, properties=properties)


def history(change: RowChange) -> WarehouseWrite:
    """Return what the warehouse keeps of a change."""
    body: dict[str, Any] = {"op": change.change.op, "table": change.table, "id": change.row_id}
    row = (change.change.before if change.deleted else change.change.after) or {}
    body["row"] = {column: value for column, value in row.items() if not is_unavailable(value)}
    return WarehouseWrite(
        **change.cause,
        entity=entity("change", change.cause["event_id"]),
        dataset="changes",
        day=change.cause["occurred_at"].date(),
        type=f"{change.table}.{change.change.op}",
        body=body,
    )


def _row_id(table: str, key: Row | None, row: Row | None) -> str:
    values = list((key or {}).values()) or ([row["id"]] if row and "id" in row else [])
    if not values:
        raise InvalidChange(f"a change of {table} has neither a key nor a column `id`")
    if len(values) == 1:
        return str(values[0])
    return ":".join(escaped(str(value), ":") for value in values)


def _order(lsn: int | None) -> int:
    if lsn is None:
        raise InvalidChange("source.lsn is missing: without it changes have no order")
    if not 0 <= lsn < 2**63:
        raise InvalidChange(f"source.lsn is out of range: {lsn}")
    return lsn


def _source_name(name: str) -> str:
    if not 0 < len(name) <= LONGEST_SOURCE:
        raise InvalidChange(f"source.name has {len(name)} characters, not 1 to {LONGEST_SOURCE}")
    return name


def _event_id(source: str, table: str, row_id: str, lsn: int) -> str:
    event_id = entity(source, table, row_id, str(lsn))
    # Escaping makes three characters of one at most, so nearly never has to be looked at.
    if len("change:") + 3 * len(event_id) > LONGEST_NAME and len(entity("change", event_id)) > LONGEST_NAME:
        raise InvalidChange(f"the key of a change of {table} is too long: {len(row_id):,} characters")
    return event_id


def _commit_time(ts_ms: int) -> datetime:
    try:
        moment = datetime.fromtimestamp(ts_ms / 1_000, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidChange(f"source.ts_ms is no time: {ts_ms}") from error
    if not EARLIEST <= moment < LATEST:
        raise InvalidChange(f"source.ts_ms is out of range: {moment.isoformat()}")
    return moment
