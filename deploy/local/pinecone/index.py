"""An index: what its requests do, and which it refuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deploy.local.pinecone.filters import BadFilter, matches
from deploy.local.pinecone.namespace import Namespace, Records, Stored
from deploy.local.pinecone.requests import DeleteBody, MatchingBody, QueryBody, StatsBody, UpdateBody, UpsertBody

MAX_METADATA_BYTES = 40_960
MAX_FETCHED = 1_000
MAX_LISTED = 100

Answer = tuple[dict[str, Any], dict[str, str]]


class Refused(Exception):  # noqa: N818 - reads as a statement
    """A request is refused; `status` and `code` are those of Pinecone."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Index:
    """One index. Not for several threads.

    Args:
        dimension: of its vectors.
        metric: cosine, dotproduct or euclidean.
        lags: seconds after which a write shows in each replica.
    """

    def __init__(self, dimension: int, metric: str, lags: list[float]) -> None:
        self.dimension = dimension
        self.metric = metric
        self._lags = lags
        self._namespaces: dict[str, Namespace] = {}

    def upsert(self, body: UpsertBody) -> Answer:
        """Write records; all of a request or none."""
        stored: Records = {}
        for vector in body.vectors:
            self._check_values(vector.values)
            metadata = _checked(vector.metadata or {})
            if not vector.id.isascii():
                raise _invalid("Vector ID must be ASCII")
            stored[vector.id] = Stored(_floats(vector.values), metadata)
        space = self._namespaces.setdefault(body.namespace, Namespace(self._lags))
        position = space.append(lambda records: records.update(stored))
        return {"upsertedCount": len(body.vectors)}, _committed(position)

    def update(self, body: UpdateBody) -> Answer:
        """Change a record, or all that match a filter; one that is not there stays absent."""
        if (body.id is None) == (body.filter is None):
            raise _invalid("either id or filter must be set")
        if body.values is not None:
            self._check_values(body.values)
        added = _checked(body.set_metadata or {})
        space = self._existing(body.namespace)
        if body.dry_run:
            return {"matchedRecords": len(_selected(space.read()[0], body.id, body.filter))}, {}

        def apply(records: Records) -> None:
            for name in _selected(records, body.id, body.filter):
                old = records[name]
                values = old.values if body.values is None else _floats(body.values)
                records[name] = Stored(values, old.metadata | added)

        matched = {"matchedRecords": len(_selected(space.read()[0], None, body.filter))} if body.filter else {}
        return matched, _committed(space.append(apply))

    def delete(self, body: DeleteBody) -> Answer:
        """Remove records by id, by filter, or all of a namespace."""
        if (body.ids is not None) + (body.filter is not None) + body.delete_all != 1:
            raise _invalid("exactly one of ids, filter and deleteAll must be set")
        space = self._existing(body.namespace)

        def apply(records: Records) -> None:
            if body.delete_all:
                records.clear()
            for name in body.ids if body.ids is not None else _selected(records, None, body.filter or {}):
                records.pop(name, None)

        return {}, _committed(space.append(apply))

    def fetch(self, namespace: str, ids: Sequence[str]) -> Answer:
        """Return records by id; a fetch says nothing of its position in the log."""
        if not 0 < len(ids) <= MAX_FETCHED:
            raise _invalid(f"the number of ids must be in 1..{MAX_FETCHED}")
        records, _ = self._read(namespace)
        vectors = _vectors(records, [name for name in ids if name in records])
        return {"vectors": vectors, "namespace": namespace, "usage": {"readUnits": 1}}, {}

    def matching(self, body: MatchingBody) -> Answer:
        """Return the records that match a filter, a page at a time."""
        records, _ = self._read(body.namespace)
        names = sorted(name for name in _selected(records, None, body.filter) if name > body.pagination_token)
        page = names[: body.limit]
        found = {"vectors": _vectors(records, page), "namespace": body.namespace, "usage": {"readUnits": 1}}
        return found | _following(page, names), {}

    def query(self, body: QueryBody) -> Answer:
        """Return the records nearest to a vector, best first; exact, where Pinecone is approximate."""
        records, position = self._read(body.namespace)
        vector = body.vector
        if body.id is not None:
            vector = records[body.id].values if body.id in records else None
        elif vector is None:
            raise _invalid("either id or vector must be set")
        found = _selected(records, None, body.filter or {}) if vector is not None else []
        if vector is not None:
            self._check_values(vector)
        scored = sorted(((self._score(records[name].values, vector or []), name) for name in found), reverse=True)
        matches_: list[dict[str, Any]] = []
        for score, name in scored[: body.top_k]:
            match: dict[str, Any] = {"id": name, "score": score}
            if body.include_values:
                match["values"] = records[name].values
            if body.include_metadata:
                match["metadata"] = records[name].metadata
            matches_.append(match)
        answer = {"matches": matches_, "namespace": body.namespace, "usage": {"readUnits": 1}}
        return answer, {"x-pinecone-max-indexed-lsn": str(position)}

    def stats(self, body: StatsBody) -> Answer:
        """Count the records."""
        counts = {
            name: len(_selected(space.read()[0], None, body.filter or {})) for name, space in self._namespaces.items()
        }
        return {
            "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
            "dimension": self.dimension,
            "indexFullness": 0.0,
            "totalVectorCount": sum(counts.values()),
            "metric": self.metric,
            "vectorType": "dense",
        }, {}

    def list(self, namespace: str, prefix: str, limit: int, after: str) -> Answer:
        """Return ids in their order, a page at a time."""
        records, _ = self._read(namespace)
        names = sorted(name for name in records if name.startswith(prefix) and name > after)
        page = names[: min(limit, MAX_LISTED)]
        found = {"vectors": [{"id": name} for name in page], "namespace": namespace, "usage": {"readUnits": 1}}
        return found | _following(page, names), {}

    def settle(self) -> None:
        """Have every write show."""
        for space in self._namespaces.values():
            space.settle()

    def lag(self, seconds: float) -> None:
        """Have what is written from now on show later."""
        self.settle()
        self._lags = [seconds] * len(self._lags)
        for space in self._namespaces.values():
            space.lag(seconds)

    def _read(self, namespace: str) -> tuple[Records, int]:
        space = self._namespaces.get(namespace)
        return space.read() if space is not None else ({}, 0)

    def _existing(self, namespace: str) -> Namespace:
        if namespace not in self._namespaces:
            raise Refused(404, "NOT_FOUND", "Namespace not found")
        return self._namespaces[namespace]

    def _check_values(self, values: Sequence[float]) -> None:
        if len(values) != self.dimension:
            raise _invalid(f"Vector dimension {len(values)} does not match the dimension of the index {self.dimension}")
        if not any(values):
            raise _invalid("Dense vectors must contain at least one non-zero value")

    def _score(self, one: Sequence[float], other: Sequence[float]) -> float:
        first, second = np.asarray(one), np.asarray(other)
        if self.metric == "euclidean":
            return -float(((first - second) ** 2).sum())
        length = 1.0 if self.metric == "dotproduct" else float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second) / length


def _vectors(records: Mapping[str, Stored], names: Sequence[str]) -> dict[str, Any]:
    return {one: {"id": one, "values": records[one].values, "metadata": records[one].metadata} for one in names}


def _following(page: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    return {"pagination": {"next": page[-1]}} if len(names) > len(page) else {}


def _selected(records: Mapping[str, Stored], name: str | None, conditions: Mapping[str, Any] | None) -> list[str]:
    if name is not None:
        return [name] if name in records else []
    try:
        return [one for one, record in records.items() if matches(conditions or {}, record.metadata)]
    except BadFilter as error:
        raise _invalid(str(error)) from error


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    for name, value in metadata.items():
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)  # pyright: ignore[reportUnknownVariableType]
        if not (texts or isinstance(value, str | bool | int | float)):
            raise _invalid(f"Metadata value must be a string, number, boolean or list of strings, for field '{name}'")
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise _invalid(f"metadata size exceeds the limit of {MAX_METADATA_BYTES} bytes per vector")
    # All numbers are floating point there.
    return {name: float(value) if type(value) is int else value for name, value in metadata.items()}


def _floats(values: Sequence[float]) -> list[float]:
    """Return values as Pinecone keeps them: 32 bits."""
    return np.asarray(values, "<f4").astype("<f8").tolist()


def _committed(position: int) -> dict[str, str]:
    return {"x-pinecone-request-lsn": str(position)}


def _invalid(message: str) -> Refused:
    return Refused(400, "INVALID_ARGUMENT", message)
