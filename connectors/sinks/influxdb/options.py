"""What a user may say about an InfluxDB."""

from typing import Annotated

from msgspec import Meta, Struct


class InfluxOptions(Struct, frozen=True, kw_only=True):
    """Where the server is and how it is written to. The token is in no repr."""

    url: Annotated[str, Meta(description="address of InfluxDB 2, http:// or https://")] = "http://127.0.0.1:8086"
    token: Annotated[str, Meta(description="API token that may read and write the bucket")] = ""
    organisation: Annotated[str, Meta(description="name of the organisation that owns the bucket")] = "travelos"
    bucket: Annotated[str, Meta(description="name of the bucket of the points")] = "travelos"
    create_bucket: Annotated[
        bool, Meta(description="make the bucket when it is missing; the token must be allowed")
    ] = True
    retention_hours: Annotated[
        int | None,
        Meta(
            ge=0, description="how long points are kept, also set on a bucket that is there; 0: for ever, unset: as is"
        ),
    ] = None
    max_series: Annotated[
        int, Meta(ge=1, description="series (measurement and tags) in the bucket beyond which new ones are rejected")
    ] = 100_000
    gzip: Annotated[bool, Meta(description="compress what is sent")] = True
    connect_seconds: Annotated[float, Meta(gt=0, description="longest wait for a connection")] = 5.0
    request_seconds: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 30.0
    ca_file: Annotated[str, Meta(description="certificates that the server's is checked with; empty: the system's")] = (
        ""
    )

    def __repr__(self) -> str:
        """Say which store this is."""
        return f"InfluxOptions(url={self.url!r}, organisation={self.organisation!r}, bucket={self.bucket!r})"
