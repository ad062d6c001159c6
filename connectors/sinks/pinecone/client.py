"""Requests to the indexes of one project, within the service's limits.

Limits: https://docs.pinecone.io/reference/api/database-limits/operation-limits. The SDK repeats a request that is
throttled or breaks off three times by itself; what it raises then is for the framework to answer.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from pinecone import Pinecone, RetryConfig
from pinecone.errors import ApiError, ConflictError, NotFoundError, PineconeError
from pinecone.index import Index
from pinecone.models.indexes.index import IndexModel

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.pinecone.errors import OPTION, interpreted, no_room, refusal
from connectors.sinks.pinecone.options import PineconeOptions
from connectors.sinks.pinecone.records import Record

MAX_RECORDS = 1_000
MAX_BYTES = 2 * 1_024 * 1_024 - 4_096  # the frame around the records takes some
MAX_ADDRESS = 6_000  # bytes of the ids in a fetch, which is a GET; gateways take 8 KB
_PAGE = 100  # records of an answer that is found by metadata; each comes with its vector

_VALUES = "_values"  # the field by which the vectors of an index have gone since the API of 2026-07


class Fetched(NamedTuple):
    """A record as it was fetched."""

    values: list[float]
    metadata: Mapping[str, Any]


class PineconeClient:
    """The indexes that the options name. The constructor does no I/O; one thread at a time."""

    def __init__(self, options: PineconeOptions) -> None:
        self._options = options
        self._indexes: dict[str, Index] = {}

    def open(self) -> None:
        """Find or make the indexes, and check what they are.

        Raises:
            Unavailable: no answer, or an index is still being made.
            Fatal: the key is refused, or an index is missing or another one than the options say.
        """
        options = self._options
        if len(self._indexes) == len(options.dimensions):
            return
        with interpreted(), self._project() as project:
            for name, dimension in options.dimensions.items():
                model = self._found(project, name, dimension)
                self._check(name, model, dimension)
                self._indexes[name] = project.index(host=model.host or "")

    def upsert(self, index: str, namespace: str, records: Sequence[Record]) -> dict[str, str]:
        """Write records; returns why by id for those that are refused, the others are applied.

        Raises:
            Unavailable: nothing is known of any of them.
            Fatal: the key or the index is refused.
        """
        refused: dict[str, str] = {}
        for chunk in chunked(records):
            refused |= self._upsert(index, namespace, chunk)
        return refused

    def update(self, index: str, namespace: str, record: Record) -> str | None:
        """Set the metadata of a record and leave its vector; returns why when it is refused."""
        try:
            with _interpreted_unless_refused():
                self._indexes[index].update(id=record.id, set_metadata=record.metadata, namespace=namespace)
        except _Refused as error:
            return str(error)
        return None

    def delete(self, index: str, namespace: str, ids: Sequence[str]) -> None:
        """Remove records; those that are not there are no error, nor is a namespace that does not exist."""
        with interpreted():
            for start in range(0, len(ids), MAX_RECORDS):
                try:
                    self._indexes[index].delete(ids=ids[start : start + MAX_RECORDS], namespace=namespace)
                except NotFoundError:
                    return  # the namespace does not exist yet; of an index that is gone the next upsert tells

    def matching(self, index: str, namespace: str, conditions: Mapping[str, Any]) -> list[str]:
        """Return the ids of the records whose metadata match a filter of Pinecone's language."""
        return list(self.described(index, namespace, conditions))

    def described(self, index: str, namespace: str, conditions: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the metadata of the records whose metadata match a filter of Pinecone's language, by id."""
        described: dict[str, Mapping[str, Any]] = {}
        page: str | None = None
        with interpreted():
            while True:
                found = self._indexes[index].fetch_by_metadata(
                    filter=conditions, namespace=namespace, limit=_PAGE, pagination_token=page
                )
                described |= {name: one.metadata or {} for name, one in found.vectors.items()}
                page = found.pagination.next if found.pagination is not None else None
                if not page:
                    return described

    def fetch(self, index: str, namespace: str, ids: Sequence[str]) -> dict[str, Fetched]:
        """Return the records of one request; it has to fit into an address (`addressable`)."""
        with interpreted():
            found = self._indexes[index].fetch(ids=ids, namespace=namespace)
        return {name: Fetched(one.values, one.metadata or {}) for name, one in found.vectors.items()}

    def listed(self, index: str, namespace: str) -> Iterator[list[str]]:
        """Yield the ids of a namespace, a page at a time; none where the namespace does not exist."""
        page: str | None = None
        while True:
            with interpreted():
                try:
                    found = self._indexes[index].list_paginated(namespace=namespace, pagination_token=page)
                except NotFoundError:
                    return
            yield [one.id for one in found.vectors if one.id is not None]
            page = found.pagination.next if found.pagination is not None else None
            if not page:
                return

    def close(self) -> None:
        """Close the connections; may be called twice."""
        for index in self._indexes.values():
            index.close()
        self._indexes = {}

    def _upsert(self, index: str, namespace: str, records: Sequence[Record]) -> dict[str, str]:
        vectors = [{"id": one.id, "values": one.values, "metadata": one.metadata} for one in records]
        try:
            with _interpreted_unless_refused():
                answer = self._indexes[index].upsert(vectors=vectors, namespace=namespace)
        except _Refused as error:
            if len(records) == 1:
                return {records[0].id: str(error)}
            middle = len(records) // 2
            return self._upsert(index, namespace, records[:middle]) | self._upsert(index, namespace, records[middle:])
        if answer.upserted_count != len(records):
            raise Unavailable(f"Pinecone took {answer.upserted_count} of {len(records)} records of a request")
        return {}

    def _project(self) -> Pinecone:
        return Pinecone(
            api_key=self._options.api_key or None,
            host=self._options.url,
            ssl_ca_certs=self._options.ca_file or None,
            timeout=self._options.request_seconds,
            retry_config=RetryConfig(max_retries=0),
        )

    def _found(self, project: Pinecone, name: str, dimension: int) -> IndexModel:
        try:
            return project.indexes.describe(name)
        except NotFoundError:
            if not self._options.create_index:
                raise Fatal(f"Pinecone has no index {name!r}; make it, or set `{OPTION}.create_index`") from None
        options = self._options
        field = {"type": "dense_vector", "dimension": dimension, "metric": options.metric}
        try:
            return project.indexes.create(
                name=name,
                schema={"fields": {_VALUES: field}},
                deployment={"deployment_type": "managed", "cloud": options.cloud, "region": options.region},
                timeout=options.ready_seconds,
            )
        except ConflictError:  # another worker was first
            return project.indexes.describe(name)
        except ApiError as error:
            if error.status_code in (400, 422):
                reason = f"({error.status_code}); see `{OPTION}.cloud` and `{OPTION}.region`"
                raise Fatal(f"Pinecone does not make the index {name!r} {reason}") from error
            raise

    def _check(self, name: str, model: IndexModel, dimension: int) -> None:
        options = self._options
        which = {options.index: "dimension", options.photo_index: "photo_dimension"}.get(name, "version_index")
        field: Any = model.schema.fields.get(_VALUES)
        if field is None or not hasattr(field, "dimension"):
            raise Fatal(f"the index {name!r} is none of dense vectors; see `{OPTION}.index`")
        if field.dimension != dimension:
            raise Fatal(
                f"the index {name!r} has dimension {field.dimension}, not {dimension}; set `{OPTION}.{which}` to what "
                "the model makes, or name another index and replay the store's topic"
            )
        if field.metric != options.metric and name != options.version_index:
            raise Fatal(f"the index {name!r} compares by {field.metric}; set `{OPTION}.metric`, or name another index")
        if not model.status.ready or not model.host:
            raise Unavailable(f"the index {name!r} is not ready: {model.status.state}")


class _Refused(Exception):  # noqa: N818 - reads as a statement
    """A request was refused for what is in it; nothing of it is applied."""


@contextmanager
def _interpreted_unless_refused() -> Generator[None]:
    """As `interpreted`, but a refusal of what is in the request is told apart."""
    with interpreted():
        try:
            yield
        except PineconeError as error:
            full, reason = no_room(error), refusal(error)
            if full is not None:
                raise full from error
            if reason is None:
                raise
            raise _Refused(reason) from error


def chunked(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield records as they fit into requests."""
    chunk: list[Record] = []
    size = 0
    for record in records:
        if chunk and (len(chunk) == MAX_RECORDS or size + record.size > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += record.size
    if chunk:
        yield chunk


def addressable(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield ids as they fit into the address of a fetch."""
    chunk: list[str] = []
    size = 0
    for name in ids:
        length = len(quote(name, safe="")) + len("ids=&")
        if chunk and (len(chunk) == MAX_RECORDS - 1 or size + length > MAX_ADDRESS):
            yield chunk
            chunk, size = [], 0
        chunk.append(name)
        size += length
    if chunk:
        yield chunk
