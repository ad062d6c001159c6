"""The requests that the stand-in understands, as API version 2026-07 describes them. What they do not name is refused.

Shapes: https://docs.pinecone.io/reference/api/2026-07 (data plane and control plane).
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1, max_length=512)]


class VectorBody(Struct, rename="camel", forbid_unknown_fields=True):
    """A record in an upsert."""

    id: Id
    values: list[float]
    metadata: dict[str, Any] | None = None


class UpsertBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /vectors/upsert."""

    vectors: Annotated[list[VectorBody], Meta(min_length=1, max_length=1_000)]
    namespace: str = ""


class UpdateBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /vectors/update, of one record or by a filter."""

    namespace: str = ""
    id: Id | None = None
    values: list[float] | None = None
    set_metadata: dict[str, Any] | None = None
    filter: dict[str, Any] | None = None
    dry_run: bool = False


class DeleteBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /vectors/delete: exactly one of ids, filter and everything."""

    namespace: str = ""
    ids: Annotated[list[Id], Meta(min_length=1, max_length=1_000)] | None = None
    delete_all: bool = False
    filter: dict[str, Any] | None = None


class QueryBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /query, by a vector or by that of a record."""

    top_k: Annotated[int, Meta(ge=1, le=10_000)]
    namespace: str = ""
    vector: list[float] | None = None
    id: Id | None = None
    filter: dict[str, Any] | None = None
    include_values: bool = False
    include_metadata: bool = False


class MatchingBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /vectors/fetch_by_metadata."""

    filter: dict[str, Any]
    namespace: str = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    pagination_token: str = ""


class StatsBody(Struct, rename="camel", forbid_unknown_fields=True):
    """POST /describe_index_stats."""

    filter: dict[str, Any] | None = None


class DenseField(Struct, forbid_unknown_fields=True, tag="dense_vector", tag_field="type"):
    """The only kind of field that the stand-in has."""

    dimension: Annotated[int, Meta(ge=1, le=20_000)]
    metric: str = "cosine"


class Schema(Struct, forbid_unknown_fields=True):
    """The fields of an index."""

    fields: dict[str, DenseField]


class Deployment(Struct, frozen=True, forbid_unknown_fields=True, tag="managed", tag_field="deployment_type"):
    """Where an index is made."""

    cloud: str = "aws"
    region: str = "us-east-1"


class CreateBody(Struct, forbid_unknown_fields=True):
    """POST /indexes."""

    name: str
    schema: Schema
    deployment: Deployment = Deployment()
    deletion_protection: str = "disabled"
    tags: dict[str, str] | None = None
