"""Row changes in the Debezium envelope, and the rows of the tables that this project reads.

The format is that of Debezium 3.4's Postgres connector with the JSON converter. Both forms are read: bare
(`schemas.enable=false`) and wrapped in `{"schema": ..., "payload": ...}`.
"""

from base64 import b64encode
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from schemas.fields import Latitude, Longitude
from schemas.reasons import shortened

Op = Literal["c", "u", "d", "r", "t", "m"]  # create, update, delete, read (snapshot), truncate, logical message
Row = dict[str, Any]
R = TypeVar("R", bound=Struct)

UNAVAILABLE = "__debezium_unavailable_value"  # stands for an unchanged TOAST value that the WAL left out
_UNAVAILABLE_BYTES = b64encode(UNAVAILABLE.encode()).decode()
_UNAVAILABLE_MAP = f'{{"{UNAVAILABLE}":"{UNAVAILABLE}"}}'
_UNAVAILABLE_DECIMAL = {"scale": 0, "value": _UNAVAILABLE_BYTES}
_UNAVAILABLE_SHAPE = {"wkb": _UNAVAILABLE_BYTES, "srid": None}
# As columns of text and bytes, of arrays of text, bytes, integers and UUIDs (Java's UUID.nameUUIDFromBytes of the
# constant), and of hstore show it. Source: Debezium, PostgresValueConverter. Then those of decimals of any scale and of
# geometries, where Debezium writes null.
_UNAVAILABLE: tuple[Any, ...] = (
    UNAVAILABLE,
    _UNAVAILABLE_BYTES,
    [UNAVAILABLE],
    [_UNAVAILABLE_BYTES],
    list(UNAVAILABLE.encode()),
    ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"],
    {UNAVAILABLE: UNAVAILABLE},
    _UNAVAILABLE_MAP,
    [{UNAVAILABLE: UNAVAILABLE}],
    [_UNAVAILABLE_MAP],
    *(_UNAVAILABLE_DECIMAL, _UNAVAILABLE_SHAPE),
    *([_UNAVAILABLE_DECIMAL], [_UNAVAILABLE_SHAPE]),
    [[UNAVAILABLE]],
)


class ChangeSource(Struct, kw_only=True, frozen=True, omit_defaults=False):
    """Where a change comes from. `lsn` orders the changes of one database; `ts_ms` is the commit's time."""

    version: str
    connector: str
    name: str
    ts_ms: int
    ts_us: int | None = None
    ts_ns: int | None = None
    snapshot: str = "false"
    db: str
    sequence: str | None = None
    schema: str
    table: str
    txId: int | None = None  # noqa: N815 - Debezium's spelling
    lsn: int | None = None
    xmin: int | None = None


class Transaction(Struct, kw_only=True, frozen=True):
    """The transaction a change belongs to, with its place in it."""

    id: str
    total_order: int
    data_collection_order: int


class Change(Struct, kw_only=True, frozen=True):
    """One change of one row. `before` and `after` hold columns by name, as far as the replica identity gives them."""

    before: Row | None = None
    after: Row | None = None
    source: ChangeSource
    op: Op
    ts_ms: int | None = None
    ts_us: int | None = None
    ts_ns: int | None = None
    transaction: Transaction | None = None


class RestaurantRow(Struct, kw_only=True, frozen=True):
    """A row of `public.restaurants`: New York's restaurants with their inspections."""

    id: str
    name: str
    cuisine: str | None = None
    borough: str | None = None
    street: str | None = None
    building: str | None = None
    zipcode: str | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None
    grades: str | None = None  # jsonb: [{"date": "2014-03-03", "grade": "A", "score": 2}, ...], latest first


class PlaceRow(Struct, kw_only=True, frozen=True):
    """A row of `public.places`: restaurants, hotels and attractions of Cambridge."""

    id: str
    name: str
    kind: str
    area: str | None = None
    address: str | None = None
    postcode: str | None = None
    phone: str | None = None
    price_range: str | None = None
    cuisine: str | None = None
    description: str | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None


class UserRow(Struct, kw_only=True, frozen=True):
    """A row of `public.users`: the travellers."""

    id: str
    name: str
    home_city: str | None = None
    language: str | None = None
    diet: str | None = None


class InvalidChange(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are no change envelope, or a row that lacks what its table promises; the message names the field."""


class _Wrapped(Struct, frozen=True):
    payload: Change | UnsetType | None = UNSET


_bare: msgspec.json.Decoder[Change] = msgspec.json.Decoder(Change)
_wrapped: msgspec.json.Decoder[_Wrapped] = msgspec.json.Decoder(_Wrapped)


def decode_change(data: bytes) -> Change | None:
    """Read one change; None for the `{"payload": null}` that some connectors send as a tombstone.

    Raises:
        InvalidChange: whatever the bytes are, nothing else is raised.
    """
    try:
        try:
            return _bare.decode(data)
        except msgspec.ValidationError:
            if b'"payload"' not in data or (payload := _wrapped.decode(data).payload) is UNSET:
                raise
            return payload
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidChange(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidChange("JSON is nested too deeply") from error


def decode_row(row: Row, kind: type[R]) -> R:
    """Return a row as the struct of its table; columns that the struct does not know are left out.

    Raises:
        InvalidChange: a column is missing or of another type; the message names it.
    """
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise InvalidChange(shortened(str(error))) from error


def is_unavailable(value: Any) -> bool:
    """Whether a column holds Debezium's placeholder instead of its value."""
    return value in _UNAVAILABLE
