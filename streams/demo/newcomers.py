"""Restaurants and places that open while the demo runs."""

from random import Random

from schemas.changes import PlaceRow, RestaurantRow
from schemas.fields import Latitude, Longitude

_FIRST = ("Blue", "Golden", "Little", "Silver", "Hidden", "Copper", "Velvet", "Quiet", "Paper", "Ember", "Willow")
_SECOND = ("Lantern", "Fig", "Sparrow", "Anchor", "Orchard", "Kettle", "Magpie", "Basil", "Compass", "Juniper", "Tide")
_CUISINES = ("Korean", "Italian", "Mexican", "Thai", "Vegetarian", "Greek", "Japanese", "Indian", "French", "Turkish")
_KINDS = {"restaurant": "Kitchen", "hotel": "House", "attraction": "Gallery"}


def new_restaurant(rng: Random, near: RestaurantRow, number: int) -> RestaurantRow:
    """Return a restaurant round the corner of another one, not graded yet; `number` makes its id unique."""
    cuisine = rng.choice(_CUISINES)
    lat, lon = round_the_corner(rng, near.lat, near.lon)
    return RestaurantRow(
        id=f"nyc-new-{number:04d}",
        name=f"{_name(rng)} {cuisine} Kitchen",
        cuisine=cuisine,
        borough=near.borough,
        street=near.street,
        building=str(rng.randint(1, 990)),
        zipcode=near.zipcode,
        lat=lat,
        lon=lon,
        grades="[]",
    )


def new_place(rng: Random, near: PlaceRow, number: int) -> PlaceRow:
    """Return a restaurant, hotel or gallery round the corner of another place; `number` makes its id unique."""
    kind = rng.choice(list(_KINDS))
    cuisine = rng.choice(_CUISINES).lower() if kind == "restaurant" else None
    lat, lon = round_the_corner(rng, near.lat, near.lon)
    name = f"{_name(rng)} {_KINDS[kind]}"
    return PlaceRow(
        id=f"cam-{kind}-new-{number:04d}",
        name=name.lower(),
        kind=kind,
        area=near.area,
        address=near.address,
        postcode=near.postcode,
        phone=f"01223{rng.randint(100_000, 999_999)}",
        price_range=rng.choice(("cheap", "moderate", "expensive")),
        cuisine=cuisine,
        description=f"museum; a new gallery called {name}" if kind == "attraction" else f"{name} has just opened",
        lat=lat,
        lon=lon,
    )


def round_the_corner(
    rng: Random, lat: Latitude | None, lon: Longitude | None, degrees: float = 0.002
) -> tuple[float | None, float | None]:
    """Return a position within `degrees` of another one, or none when that is unknown."""
    if lat is None or lon is None:
        return None, None
    return round(lat + rng.uniform(-degrees, degrees), 6), round(lon + rng.uniform(-degrees, degrees), 6)


def _name(rng: Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_SECOND)}"
