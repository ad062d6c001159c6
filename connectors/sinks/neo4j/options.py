"""Where the graph is, and what is prepared in it."""

from typing import Annotated

from msgspec import Meta, Struct

LABELS = ("Activity", "City", "Cuisine", "Place", "User")
RELATIONS = ("FRIEND", "IN_CITY", "LIKES", "REVIEWED", "ROUTE", "SERVES", "SIMILAR_TO", "VISITED")
INDEXES = ("Place.name", "Place.kind", "User.name")
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


class Neo4jOptions(Struct, frozen=True, kw_only=True):
    """Options of the Neo4j sink.

    Raises:
        ValueError: a value cannot be used; names the option.
    """

    url: Annotated[
        str, Meta(description="bolt://, neo4j:// (a cluster), or either with +s (TLS) or +ssc (TLS, own certificate)")
    ] = "bolt://127.0.0.1:7687"
    username: Annotated[str, Meta(description="who writes; needs the right to create constraints once")] = "neo4j"
    password: Annotated[str, Meta(description="its password", extra={"secret": True})] = ""
    database: Annotated[str, Meta(description="the database; the Community edition has one", min_length=1)] = "neo4j"
    labels: Annotated[
        tuple[str, ...], Meta(description="nodes prepared at the start; others are when they first come")
    ] = LABELS
    relations: Annotated[tuple[str, ...], Meta(description="types of relations, likewise")] = RELATIONS
    indexes: Annotated[
        tuple[str, ...], Meta(description='properties that are looked up, as "Label.property"; empty: none')
    ] = INDEXES
    connect_seconds: Annotated[float, Meta(gt=0, description="longest wait for a connection")] = 10.0
    transaction_seconds: Annotated[
        float, Meta(gt=0, description="longest time of one transaction; the server ends it then")
    ] = 60.0

    def __post_init__(self) -> None:
        if self.url.partition("://")[0] not in SCHEMES:
            raise ValueError(f"`url` begins with none of {', '.join(SCHEMES)}")
        if "@" in self.url:
            raise ValueError("`url` carries credentials; they belong in `username` and `password`")
        for index in self.indexes:
            label, _, name = index.partition(".")
            if not label or not name:
                raise ValueError(f"`indexes` has {index!r}, not Label.property")

    def __repr__(self) -> str:
        return f"Neo4jOptions(url={self.url!r}, username={self.username!r}, database={self.database!r})"
