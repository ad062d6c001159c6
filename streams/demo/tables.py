"""Parse the files of restaurants and places into rows of the source tables.

Formats: New York's restaurants as in MongoDB's "primer dataset"; the restaurants, attractions and hotels of MultiWOZ.
A document that cannot become a row is reported and the rest goes on.
"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct

from schemas.changes import PlaceRow, RestaurantRow
from streams.demo.documents import Document, Problem, TableFileError, read_documents
from streams.demo.positions import CAMBRIDGE, NEW_YORK, position

DATA = Path(__file__).parent / "data"
BUNDLED_RESTAURANTS = DATA / "restaurants-nyc.jsonl.gz"
BUNDLED_PLACES = DATA / "places-cambridge.json"

BOROUGHS = frozenset({"Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island"})
LODGINGS = frozenset({"hotel", "guesthouse"})

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")

R = TypeVar("R", RestaurantRow, PlaceRow)


class Parsed(Struct, Generic[R], frozen=True):
    """The rows of a file, in its order and each id once, and what was left out of them."""

    rows: list[R]
    problems: list[Problem]


class _BadRow(ValueError):  # noqa: N818 - never leaves this module
    """A document that cannot become a row."""


def load_restaurants(path: Path = BUNDLED_RESTAURANTS) -> Parsed[RestaurantRow]:
    """Return the restaurants of a file; ids are "nyc-<restaurant_id>".

    Raises:
        TableFileError: nothing can be read from the file.
    """
    return _load(path, _restaurant)


def load_places(path: Path = BUNDLED_PLACES) -> Parsed[PlaceRow]:
    """Return the places of a file; ids are "cam-<kind>-<id>", because hotel 1 and attraction 1 both exist.

    Raises:
        TableFileError: nothing can be read from the file.
    """
    return _load(path, _place)


def clean(value: Any) -> str | None:
    """Return text without control characters, doubled blanks and damaged accents; None for nothing or "?".

    "CafÃ©" is UTF-8 that somebody once read as Latin-1; what does not turn back exactly is left alone.
    """
    if not isinstance(value, str):
        return None if value is None or isinstance(value, dict | list) else clean(str(value))
    if "Ã" in value or "Â" in value:
        with suppress(UnicodeError):
            value = value.encode("latin-1").decode()
    text = " ".join(value.translate(_CONTROLS).split())
    return None if text in ("", "?") else text


def grades_json(grades: list[tuple[date, str | None, float | None]]) -> str:
    """Return inspection grades as jsonb prints them, latest first."""
    latest_first = sorted(grades, key=lambda grade: grade[0], reverse=True)
    entries = [{"date": day.isoformat(), "grade": grade, "score": score} for day, grade, score in latest_first]
    return json.dumps(entries, ensure_ascii=False)


def _load(path: Path, parse: Callable[[Document, list[str]], R]) -> Parsed[R]:
    documents, problems = read_documents(path)
    if not documents:
        raise TableFileError(f"{path} holds no JSON object; expected JSON lines or one JSON array")
    rows: dict[str, R] = {}
    for number, document in documents:
        remarks: list[str] = []
        try:
            row = parse(document, remarks)
        except _BadRow as error:
            problems.append(Problem(number, str(error)))
            continue
        if row.id in rows:
            problems.append(Problem(number, f"repeats {row.id}; the first one counts"))
        else:
            rows[row.id] = row
            problems.extend(Problem(number, remark) for remark in remarks)
    return Parsed(list(rows.values()), sorted(problems, key=lambda problem: problem.number))


def _restaurant(document: Document, remarks: list[str]) -> RestaurantRow:
    identity = clean(document.get("restaurant_id"))
    if identity is None:
        raise _BadRow("has no `restaurant_id`")
    address = _object(document.get("address"))
    borough = clean(document.get("borough"))
    coordinates = _list(address.get("coord"))
    lon, lat = coordinates if len(coordinates) == 2 else (None, None)
    where = position(lat, lon, expected=NEW_YORK, certain=borough in BOROUGHS)
    grades = [grade for entry in _list(document.get("grades")) if (grade := _grade(entry, remarks))]
    return RestaurantRow(
        id=f"nyc-{identity}",
        name=_name(document),
        cuisine=clean(document.get("cuisine")),
        borough=borough,
        street=clean(address.get("street")),
        building=clean(address.get("building")),
        zipcode=clean(address.get("zipcode")),
        lat=where[0] if where else None,
        lon=where[1] if where else None,
        grades=grades_json(grades),
    )


def _grade(entry: Any, remarks: list[str]) -> tuple[date, str | None, float | None] | None:
    grade = _object(entry)
    day, score = grade.get("date"), grade.get("score")
    if not isinstance(day, datetime):
        remarks.append("a grade without a date was left out")
        return None
    usable = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    return day.date(), clean(grade.get("grade")), score if usable else None


def _place(document: Document, remarks: list[str]) -> PlaceRow:  # noqa: ARG001 - one signature for all parsers
    identity, name = clean(document.get("id")), _name(document)
    if identity is None:
        raise _BadRow("has no `id`")
    sort = clean(document.get("type"))
    kind = clean(document.get("kind")) or _kind(sort)
    postcode = clean(document.get("postcode"))
    coordinates = _list(document.get("location"))
    lat, lon = coordinates if len(coordinates) == 2 else (None, None)
    in_cambridge = (postcode or "").lower().startswith("cb")
    where = position(lat, lon, expected=CAMBRIDGE, certain=in_cambridge)
    return PlaceRow(
        id=f"cam-{kind}-{identity}",
        name=name,
        kind=kind,
        area=clean(document.get("area")),
        address=clean(document.get("address")),
        postcode=postcode,
        phone=clean(document.get("phone")),
        price_range=clean(document.get("pricerange")),
        cuisine=clean(document.get("food")),
        description=_description(document, sort, kind),
        lat=where[0] if where else None,
        lon=where[1] if where else None,
    )


def _kind(sort: str | None) -> str:
    if sort is None:
        raise _BadRow("has neither `kind` nor `type`")
    return sort if sort == "restaurant" else "hotel" if sort in LODGINGS else "attraction"


def _description(document: Document, sort: str | None, kind: str) -> str | None:
    """Return in one text what the file says in columns that the table does not have."""
    parts = [sort if sort != kind else None, clean(document.get("introduction"))]
    for column, form in (
        ("signature", "signature dish: {}"),
        ("stars", "{} stars"),
        ("openhours", "{}"),
        ("entrance fee", "entrance: {}"),
    ):
        value = clean(document.get(column))
        parts.append(form.format(value) if value else None)
    parts += [column for column in ("internet", "parking") if clean(document.get(column)) == "yes"]
    return "; ".join(part for part in parts if part) or None


def _name(document: Document) -> str:
    name = document.get("name")
    if not isinstance(name, str):
        raise _BadRow("has no `name`")
    return clean(name) or ""  # New York's file holds restaurants whose name is empty; they exist all the same


def _object(value: Any) -> Document:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
