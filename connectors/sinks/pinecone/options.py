"""Where the vectors are, and what their indexes look like."""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

# https://docs.pinecone.io/reference/api/database-limits/identifier-limits: names of indexes
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")


class PineconeOptions(Struct, frozen=True, kw_only=True):
    """Options of the Pinecone sink. The key is in no repr.

    Raises:
        ValueError: a value cannot be used; names the option.
    """

    api_key: Annotated[str, Meta(description="API key of the project; empty: PINECONE_API_KEY")] = ""
    url: Annotated[str, Meta(description="address of the control plane")] = "https://api.pinecone.io"
    index: Annotated[str, Meta(description="index of the vectors, a namespace for each kind")] = "travelos"
    dimension: Annotated[
        int, Meta(ge=1, le=20_000, description="of the vectors in `index`: that of the text model")
    ] = 256
    photo_index: Annotated[
        str, Meta(description="index of the photos' vectors; empty: `index`, which has to fit both models")
    ] = ""
    photo_dimension: Annotated[int, Meta(ge=1, le=20_000, description="of the vectors in `photo_index`")] = 256
    version_index: Annotated[
        str, Meta(description="index of the versions, of dimension 1; nobody but the sink reads it")
    ] = "travelos-versions"
    metric: Annotated[
        Literal["cosine", "dotproduct", "euclidean"], Meta(description="how vectors are compared; of all indexes")
    ] = "cosine"
    cloud: Annotated[str, Meta(description="where an index is made: aws, gcp or azure")] = "aws"
    region: Annotated[str, Meta(description="where an index is made: region of the cloud")] = "us-east-1"
    create_index: Annotated[bool, Meta(description="make indexes that are missing; the key must be allowed")] = True
    ready_seconds: Annotated[int, Meta(ge=1, description="longest wait for an index that was made")] = 120
    freshness_seconds: Annotated[
        float, Meta(gt=0, description="longest wait until what was written shows in what is read")
    ] = 30.0
    request_seconds: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 30.0
    ca_file: Annotated[str, Meta(description="certificates that Pinecone's is checked with; empty: the system's")] = ""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("`url` has to begin with http:// or https://")
        for name in ("index", "photo_index", "version_index"):
            value: str = getattr(self, name)
            if not (_NAME.fullmatch(value) or (name == "photo_index" and not value)):
                raise ValueError(f"`{name}` has at most 45 lower-case letters, digits and hyphens, none at its ends")
        if self.version_index in (self.index, self.photo_index):
            raise ValueError("`version_index` has to be an index of its own")
        if self.photo_index == self.index and self.photo_dimension != self.dimension:
            raise ValueError(
                "`photo_dimension` is not `dimension`, so `photo_index` has to be another one than `index`"
            )

    def index_of(self, namespace: str) -> str:
        """Return the index in which a namespace lies."""
        return (self.photo_index or self.index) if namespace == "photos" else self.index

    @property
    def dimensions(self) -> dict[str, int]:
        """The dimension of each index."""
        photos = {self.photo_index: self.photo_dimension} if self.photo_index else {}
        return {self.index: self.dimension, **photos, self.version_index: 1}

    def __repr__(self) -> str:
        return f"PineconeOptions(url={self.url!r}, index={self.index!r})"
