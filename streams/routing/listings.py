"""From rows of the source tables to what the stores need of a place or a traveller."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from schemas.changes import InvalidChange, PlaceRow, RestaurantRow, Row, UserRow, decode_row, is_unavailable
from schemas.reference import Place, Profile
from schemas.writes import Scalar

WORST_SCORE = 50.0  # of a New York inspection: the more points, the worse; 28 and more is grade C


# The columns that a place and its text, or a traveller, follow from; of the others enrichment is told nothing.
TOLD: Mapping[str, tuple[str, ...]] = {
    "public.restaurants": ("id", "name", "cuisine", "borough", "lat", "lon"),
    "public.places": ("id", "name", "kind", "cuisine", "area", "lat", "lon", "description"),
    "public.users": ("id", "name", "home_city", "language", "diet"),
}


class Listing(Struct, frozen=True, kw_only=True):
    """A place as it is searched for: `text` is what is indexed and embedded, `score` 0 (worst) to 1 (best)."""

    place: Place
    text: str
    score: float | None = None
    fields: dict[str, Scalar] = {}


class _Inspection(Struct):
    score: float | None = None
    grade: str | None = None


_inspections: msgspec.json.Decoder[list[_Inspection]] = msgspec.json.Decoder(list[_Inspection])


def listing(table: str, row: Row, lsn: int) -> Listing | None:
    """Return the listing of a row; None when the table holds no places.

    Raises:
        InvalidChange: the row lacks a column, or holds Debezium's placeholder instead of its value.
    """
    _check_available(table, row)
    match table:
        case "public.restaurants":
            return _restaurant(decode_row(row, RestaurantRow), lsn)
        case "public.places":
            return _place(decode_row(row, PlaceRow), lsn)
        case _:
            return None


def profile(table: str, row: Row, lsn: int) -> Profile | None:
    """Return the profile of a row; None when the table holds no travellers.

    Raises:
        InvalidChange: as for `listing`.
    """
    if table != "public.users":
        return None
    _check_available(table, row)
    user = decode_row(row, UserRow)
    return Profile(
        id=user.id, name=user.name, lsn=lsn, home_city=user.home_city, language=user.language, diet=user.diet
    )


def _restaurant(row: RestaurantRow, lsn: int) -> Listing:
    place = Place(
        id=row.id,
        name=row.name,
        kind="restaurant",
        city="New York",
        lsn=lsn,
        cuisine=row.cuisine,
        area=row.borough,
        lat=row.lat,
        lon=row.lon,
    )
    address = " ".join(part for part in (row.building, row.street) if part)
    score, grade = _inspected(row.grades)
    fields: dict[str, Scalar] = {"address": address or None, "zipcode": row.zipcode, "grade": grade}
    return Listing(place=place, text=_sentence(place, None), score=score, fields=_known(fields))


def _place(row: PlaceRow, lsn: int) -> Listing:
    place = Place(
        id=row.id,
        name=row.name,
        kind=row.kind,
        city="Cambridge",
        lsn=lsn,
        cuisine=row.cuisine,
        area=row.area,
        lat=row.lat,
        lon=row.lon,
    )
    fields: dict[str, Scalar] = {
        "address": row.address,
        "postcode": row.postcode,
        "phone": row.phone,
        "price_range": row.price_range,
    }
    return Listing(place=place, text=_sentence(place, row.description), fields=_known(fields))


def _sentence(place: Place, description: str | None) -> str:
    what = f"{place.cuisine} {place.kind}" if place.cuisine else place.kind
    where = f"{place.area}, {place.city}" if place.area else place.city
    return f"{place.name}: {what} in {where}." + (f" {description}" if description else "")


def _inspected(grades: str | None) -> tuple[float | None, str | None]:
    """Return the mean of the inspections as a score, and the latest grade."""
    try:
        inspections = _inspections.decode(grades or "[]")
    except msgspec.MsgspecError as error:
        raise InvalidChange(f"column grades: {error}") from error
    points = [one.score for one in inspections if one.score is not None and one.score >= 0]
    score = None if not points else max(0.0, 1 - sum(points) / len(points) / WORST_SCORE)
    return score, inspections[0].grade if inspections else None


def _known(fields: dict[str, Scalar]) -> dict[str, Scalar]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_available(table: str, row: Row) -> None:
    for column, value in row.items():
        if is_unavailable(value):
            raise InvalidChange(
                f"column {column} is unchanged and was not sent; ALTER TABLE {table} REPLICA IDENTITY FULL sends it"
            )
