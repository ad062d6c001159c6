"""The places that travellers know: rows of both tables, reduced to what a story about them needs."""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct

from schemas.changes import PlaceRow, RestaurantRow

NEW_YORK = "New York"
CAMBRIDGE = "Cambridge"
LEAST_SPOTS = 6  # a city with fewer is left out: nobody could travel in it

# How travellers call the cuisines whose official names nobody says.
_SPOKEN = {
    "bagels/pretzels": "bagels",
    "bakery": "pastries",
    "barbecue": "barbecue",
    "bottled beverages, including water, sodas, juices, etc.": "soft drinks",
    "café/coffee/tea": "coffee",
    "chicken": "fried chicken",
    "delicatessen": "deli food",
    "donuts": "donuts",
    "gastropub": "pub food",
    "hamburgers": "hamburgers",
    "hotdogs": "hot dogs",
    "ice cream, gelato, yogurt, ices": "ice cream",
    "jewish/kosher": "kosher food",
    "juice, smoothies, fruit salads": "smoothies",
    "latin (cuban, dominican, puerto rican, south & central american)": "Latin American",
    "local food": "local food",
    "pancakes/waffles": "pancakes",
    "pizza": "pizza",
    "pizza/italian": "pizza",
    "sandwiches": "sandwiches",
    "sandwiches/salads/mixed buffet": "sandwiches",
    "seafood": "seafood",
    "soups & sandwiches": "soup",
    "steak": "steak",
    "vegetarian": "vegetarian food",
    "vietnamese/cambodian/malaysia": "Vietnamese",
}
_NO_TASTE = frozenset({"other", "not listed/not applicable", "international", "continental"})


class Spot(Struct, frozen=True, kw_only=True):
    """A place with a name and a position. `cuisine` stands as in its table."""

    id: str
    name: str
    kind: str
    city: str
    lat: float
    lon: float
    cuisine: str | None = None
    area: str | None = None
    sort: str = ""  # what its description begins with: "museum", "college", ...

    @property
    def spoken(self) -> str:
        """The name as a traveller writes it: Cambridge's table is all in small letters, New York's has "Wendy'S"."""
        return (self.name.title() if self.name.islower() else self.name).replace("'S", "'s")


def spots(restaurants: Iterable[RestaurantRow], places: Iterable[PlaceRow]) -> list[Spot]:
    """Return the rows that have a name and a position, in their order."""
    found = [
        Spot(
            id=row.id,
            name=row.name,
            kind="restaurant",
            city=NEW_YORK,
            lat=row.lat,
            lon=row.lon,
            cuisine=row.cuisine,
            area=row.borough,
        )
        for row in restaurants
        if row.name and row.lat is not None and row.lon is not None
    ]
    found += [
        Spot(
            id=row.id,
            name=row.name,
            kind=row.kind,
            city=CAMBRIDGE,
            lat=row.lat,
            lon=row.lon,
            cuisine=row.cuisine,
            area=row.area,
            sort=(row.description or "").partition(";")[0],
        )
        for row in places
        if row.name and row.lat is not None and row.lon is not None
    ]
    return found


def spoken_cuisine(cuisine: str) -> str:
    """Return a cuisine as a traveller writes it: "Italian", "pizza", "ice cream"."""
    return _SPOKEN.get(cuisine.lower(), cuisine.title() if cuisine.islower() else cuisine)


class Gazetteer:
    """Spots by city, kind and cuisine, and how travellers choose among them.

    Args:
        known: the spots.
        cities: which cities to keep; by default all with LEAST_SPOTS.

    Raises:
        ValueError: no city has LEAST_SPOTS.
    """

    def __init__(self, known: Sequence[Spot], cities: Sequence[str] = ()) -> None:
        sizes = Counter(spot.city for spot in known)
        self.cities = [city for city, size in sizes.items() if city in cities or (not cities and size >= LEAST_SPOTS)]
        if not self.cities:
            raise ValueError(f"Expected at least {LEAST_SPOTS} places of one city with a name and a position")
        self._by_city: dict[str, list[Spot]] = {city: [] for city in self.cities}
        self._by_kind: dict[tuple[str, str], list[Spot]] = {}
        self._by_cuisine: dict[tuple[str, str], list[Spot]] = {}
        # Tables are sorted by name or age, which must not decide what is popular (see `pick`).
        for spot in sorted(known, key=lambda spot: zlib.crc32(spot.id.encode())):
            if spot.city not in self._by_city:
                continue
            self._by_city[spot.city].append(spot)
            self._by_kind.setdefault((spot.city, spot.kind), []).append(spot)
            if spot.cuisine and spot.cuisine.lower() not in _NO_TASTE:
                self._by_cuisine.setdefault((spot.city, spot.cuisine), []).append(spot)

    def kinds(self, city: str) -> list[str]:
        """Return the kinds of places that a city has."""
        return [kind for where, kind in self._by_kind if where == city]

    def cuisines(self, city: str) -> dict[str, int]:
        """Return the cuisines of a city that can be a taste, each with the number of its restaurants."""
        return {cuisine: len(served) for (where, cuisine), served in self._by_cuisine.items() if where == city}

    def others(self, spot: Spot) -> list[Spot]:
        """Return the other spots of the same city."""
        return [other for other in self._by_city[spot.city] if other.id != spot.id]

    def pick(self, rng: Random, city: str, kind: str, liked: Sequence[str] = ()) -> Spot:
        """Return a spot, mostly of a liked cuisine; a few spots of each kind are the favourites of many."""
        choices = self._by_kind[city, kind]
        if kind == "restaurant" and liked and rng.random() < 0.8:
            choices = self._by_cuisine.get((city, rng.choice(liked)), choices)
        return choices[int(len(choices) * rng.random() ** 2.5)]
