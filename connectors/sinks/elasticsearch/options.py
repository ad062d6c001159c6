"""Where the documents are, and how they are indexed."""

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

# https://www.elastic.co/guide/en/elasticsearch/reference/current/indices-create-index.html: names of indexes
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")


class ElasticsearchOptions(Struct, frozen=True, kw_only=True):
    """Options of the Elasticsearch sink.

    Raises:
        ValueError: a value cannot be used; names the option.
    """

    url: Annotated[str, Meta(description="http(s)://host:port of the nodes, separated by commas")] = (
        "http://127.0.0.1:9200"
    )
    username: Annotated[str, Meta(description="basic authentication; empty: none")] = ""
    password: Annotated[str, Meta(description="its password", extra={"secret": True})] = ""
    api_key: Annotated[str, Meta(description="API key, instead of user and password", extra={"secret": True})] = ""
    ca_file: Annotated[str, Meta(description="PEM file of the authority that signed the nodes' certificates")] = ""
    index: Annotated[
        str, Meta(description="alias that readers ask; the indexes behind it are <index>-1, <index>-2, ...")
    ] = "travelos-search"
    shards: Annotated[int, Meta(ge=1, le=1_024, description="of an index that is made")] = 1
    replicas: Annotated[int, Meta(ge=0, le=10, description="of an index that is made")] = 0
    refresh_seconds: Annotated[
        float, Meta(gt=0, description="how old an answer to a reader may be; of an index that is made")
    ] = 1.0
    korean: Annotated[
        Literal["auto", "nori", "bigram", "none"],
        Meta(description="how Korean is split into words; auto: nori where the plugin is installed, else bigrams"),
    ] = "auto"
    request_seconds: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 60.0
    requests: Annotated[int, Meta(ge=1, le=16, description="bulk requests at a time")] = 4

    def __post_init__(self) -> None:
        for url in self.urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError("`url` has to begin with http:// or https://")
            if "@" in url:
                raise ValueError("`url` carries credentials; they belong in `username` and `password`, or in `api_key`")
        if not _NAME.fullmatch(self.index):
            raise ValueError("`index` has lower-case letters, digits, `.`, `_` and `-` only, and begins with neither")
        if self.api_key and self.username:
            raise ValueError("`api_key` and `username` exclude each other")

    @property
    def urls(self) -> list[str]:
        """The nodes."""
        return [url.strip() for url in self.url.split(",")]

    @property
    def write_alias(self) -> str:
        """The alias that is written to; it shows tombstones, too."""
        return f"{self.index}-write"

    def __repr__(self) -> str:
        return f"ElasticsearchOptions(url={self.url!r}, username={self.username!r}, index={self.index!r})"
