# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
"""The places that are known: by id, and the nearest one to a position."""

from math import asin, cos, sin, sqrt

import h3
import h3.api.basic_int as h3_int
from msgspec import Struct

from schemas.reference import Place
from streams.enrichment.geo import EARTH_RADIUS_M, RADIANS, distance_m

MAX_RADIUS_M = 1_000.0

# H3 cells vary in size and shape over the globe. Measured in units of the average edge, over all resolutions used here
# and around the twelve pentagons, where the distortion is greatest: nothing outside three rings around a cell is nearer
# than 2.81 to any point in it, and no corner of a cell is further than 1.11 from its centre.
_RINGS = 3
_RINGS_COVER = 2.7
_CENTRE_TO_CORNER = 1.15

_Entry = tuple[float, float, float, Place]  # on the unit sphere: comparing chords costs a third of comparing arcs


class Nearest(Struct, frozen=True, gc=False):
    """A place, and how far it is in metres."""

    place: Place
    metres: float


class PlaceIndex:
    """Places by id and by position.

    Every place lies in all the H3 cells that its surroundings reach into, so a look-up reads one cell only. The nearest
    place is exact: the one that a comparison with all places would find, the smaller id where two are equally near.

    Args:
        radius_m: how far `nearest` looks, at most 1,000 metres.
    """

    def __init__(self, radius_m: float) -> None:
        if not 0 < radius_m <= MAX_RADIUS_M:
            raise ValueError(
                f"option `enrich.nearest_place_metres` must be above 0 and at most 1,000, got {radius_m:g}"
            )
        self._radius_m = radius_m
        self._chord2 = (2 * sin(radius_m / EARTH_RADIUS_M / 2)) ** 2
        # The smallest cells whose rings still cover the radius hold the fewest places that are too far away.
        self._resolution = max(
            level for level in range(16) if _RINGS_COVER * h3.average_hexagon_edge_length(level, "m") >= radius_m
        )
        self._reach_m = radius_m + _CENTRE_TO_CORNER * h3.average_hexagon_edge_length(self._resolution, "m")
        self._places: dict[str, Place] = {}
        self._deleted: dict[str, int] = {}
        self._cells: dict[int, dict[str, _Entry]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def get(self, place_id: str) -> Place | None:
        """Return a place by its id; None when nobody knows it, or no longer."""
        return self._places.get(place_id)

    def upsert(self, place: Place) -> bool:
        """Take in a place; False when a newer `lsn` of it, or of its deletion, is known already."""
        held = self._places.get(place.id)
        known = held.lsn if held is not None else self._deleted.get(place.id)
        if known is not None and place.lsn < known:
            return False
        self._deleted.pop(place.id, None)
        if held is not None:
            self._unlink(held)
        self._places[place.id] = place
        self._link(place)
        return True

    def delete(self, place_id: str, lsn: int | None = None) -> bool:
        """Forget a place; False when a newer `lsn` of it is known.

        Args:
            place_id: the place; it need not be known.
            lsn: version of the deletion, kept so that an older row does not bring the place back. None where the order
                of arrival is the truth, as with the tombstones of a compacted topic.
        """
        held = self._places.get(place_id)
        if lsn is not None:
            if max(held.lsn if held is not None else lsn, self._deleted.get(place_id, lsn)) > lsn:
                return False
            self._deleted[place_id] = lsn
        if held is not None:
            self._unlink(held)
            del self._places[place_id]
        return True

    def nearest(self, lat: float, lon: float) -> Nearest | None:
        """Return the nearest place within the radius, of those that have coordinates; None when there is none."""
        near = self._cells.get(h3_int.latlng_to_cell(lat, lon, self._resolution))
        if near is None:
            return None
        x, y, z = _on_sphere(lat, lon)
        best, found = self._chord2, None
        for px, py, pz, place in near.values():
            north = pz - z
            if north * north > best:  # most are ruled out by their latitude alone
                continue
            chord2 = (px - x) * (px - x) + (py - y) * (py - y) + north * north
            if chord2 < best or (chord2 == best and (found is None or place.id < found.id)):
                best, found = chord2, place
        return Nearest(found, 2 * EARTH_RADIUS_M * asin(sqrt(best) / 2)) if found is not None else None

    def _link(self, place: Place) -> None:
        if place.lat is not None and place.lon is not None:
            entry = (*_on_sphere(place.lat, place.lon), place)
            for cell in self._around(place.lat, place.lon):
                self._cells.setdefault(cell, {})[place.id] = entry

    def _unlink(self, place: Place) -> None:
        if place.lat is not None and place.lon is not None:
            for cell in self._around(place.lat, place.lon):
                del self._cells[cell][place.id]
                if not self._cells[cell]:
                    del self._cells[cell]

    def _around(self, lat: float, lon: float) -> list[int]:
        """Return all cells that hold a point within the radius, and few others."""
        disk: list[int] = h3_int.grid_disk(h3_int.latlng_to_cell(lat, lon, self._resolution), _RINGS)
        return [cell for cell in disk if distance_m(lat, lon, *h3_int.cell_to_latlng(cell)) <= self._reach_m]


def _on_sphere(lat: float, lon: float) -> tuple[float, float, float]:
    phi, theta = lat * RADIANS, lon * RADIANS
    flat = cos(phi)
    return flat * cos(theta), flat * sin(theta), sin(phi)
