"""The places whose texts mean most nearly the same: exact, and kept up to date change by change. Pure.

Every worker knows the vectors of all places, 1 KB for each of 256 dimensions. A change is compared with all of them at
once, which says whose nearest it may have become or may have been; only theirs are looked for again.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.reference import PlaceVector

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_BLOCK = 256  # places whose similarities to all others are in memory at a time
_ROUNDING = 1e-6  # by which two products of the same vectors may differ, taken in different company
_MANY = 8  # from an eighth of all places on, all are looked at again


class Similar(NamedTuple):
    """A place near another one. `similarity` is the cosine: 1 the same direction, 0 unrelated."""

    id: str
    similarity: float


class SimilarPlaces:
    """For each place those nearest to it; of two equally near ones the smaller id comes first.

    Vectors of different models do not compare, so each model has neighbours of its own.

    Args:
        count: how many neighbours a place has, where there are so many others.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._spaces: dict[tuple[str, int], _Space] = {}
        self._held: dict[str, PlaceVector] = {}

    def settle(self, changes: Mapping[str, PlaceVector | None]) -> dict[str, list[Similar]]:
        """Take in changes and return the new neighbours of all places whose neighbours they changed, nearest first.

        Args:
            changes: by id; None: the place is gone. An older `lsn` than that which is known changes nothing.
        """
        for place_id, vector in changes.items():
            held = self._held.get(place_id)
            if held is not None and (vector is None or (vector.lsn >= held.lsn and vector != held)):
                self._spaces[_space_of(held)].remove(place_id)
                del self._held[place_id]
            elif held is not None:
                continue
            if vector is not None:
                space = self._spaces.setdefault(_space_of(vector), _Space(len(vector.values) // 4, self._count))
                space.add(place_id, np.frombuffer(vector.values, "<f4"))
                self._held[place_id] = vector
        return {name: found for space in self._spaces.values() for name, found in space.settle()}


class _Space:
    """The vectors of one model, as the rows of a matrix; rows of places that are gone are given away again."""

    def __init__(self, dimension: int, count: int) -> None:
        self._count = count
        self._matrix: Floats = np.zeros((64, dimension), np.float32)
        self._ids: list[str | None] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._touched: set[int] = set()
        self._near: dict[int, list[int]] = {}  # rows, nearest first
        self._floor: Floats = np.full(64, -np.inf, np.float32)  # similarity to the last of them, if they are complete

    def add(self, name: str, vector: Floats) -> None:
        """Add a place."""
        row = self._free.pop() if self._free else len(self._ids)
        if row == len(self._ids):
            self._ids.append(None)
        if row == len(self._matrix):
            self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            self._floor = np.concatenate([self._floor, np.full_like(self._floor, -np.inf)])
        self._ids[row] = name
        self._rows[name] = row
        self._matrix[row] = vector
        self._touched.add(row)

    def remove(self, name: str) -> None:
        """Remove a place."""
        row = self._rows.pop(name)
        self._ids[row] = None
        self._near.pop(row, None)
        self._free.append(row)
        self._touched.add(row)

    def settle(self) -> Iterator[tuple[str, list[Similar]]]:
        """Yield the places whose neighbours changed since the last time, with their neighbours."""
        if not self._touched:
            return
        live = np.fromiter(self._rows.values(), np.int64, len(self._rows))
        vectors = self._matrix[live]
        affected = self._affected(live, vectors)
        for start in range(0, len(affected), _BLOCK):
            rows = affected[start : start + _BLOCK]
            similarities = self._matrix[rows] @ vectors.T
            for row, line in zip(rows.tolist(), similarities, strict=True):
                found = self._nearest(row, live, line)
                near = [other for other, _ in found]
                self._floor[row] = found[-1][1] if len(found) == self._count else -np.inf
                if near != self._near.get(row) or self._touched.intersection((row, *near)):
                    self._near[row] = near
                    yield self._name(row), [Similar(self._name(other), one) for other, one in found]
        self._touched.clear()

    def _affected(self, live: Rows, vectors: Floats) -> Rows:
        """Return the rows whose neighbours may have changed."""
        touched = self._touched
        if len(touched) * _MANY >= len(live):
            return live
        there = np.asarray([row for row in touched if self._ids[row] is not None], np.int64)
        may_gain = np.zeros(len(live), bool)
        floor = self._floor[live][:, None] - _ROUNDING
        for start in range(0, len(there), _BLOCK):
            may_gain |= (vectors @ self._matrix[there[start : start + _BLOCK]].T >= floor).any(axis=1)
        loses = [row in touched or not touched.isdisjoint(self._near.get(row, ())) for row in live.tolist()]
        return live[may_gain | np.asarray(loses, bool)]

    def _nearest(self, row: int, live: Rows, line: Floats) -> list[tuple[int, float]]:
        """Return the rows nearest to a row, with their similarities."""
        line[live == row] = -np.inf
        count = min(self._count, len(live) - 1)
        if count <= 0:
            return []
        least = np.partition(line, -count)[-count]
        candidates = np.flatnonzero(line >= least).tolist()
        found = [(int(live[place]), float(line[place])) for place in candidates]
        return sorted(found, key=lambda one: (-one[1], self._name(one[0])))[:count]

    def _name(self, row: int) -> str:
        name = self._ids[row]
        assert name is not None, "a row of a place that is gone"
        return name


def _space_of(vector: PlaceVector) -> tuple[str, int]:
    return vector.model, len(vector.values)
