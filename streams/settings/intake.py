"""The options of what comes in."""

from pydantic import Field

from schemas.topics import MIB
from streams.settings.section import Section


class Intake(Section):
    """Decoding, checking and deduplication."""

    dedupe_hours: float = Field(default=24, gt=0, le=720, description="how long an event id is remembered")
    max_value_bytes: int = Field(
        default=1_048_576,
        ge=1_024,
        le=10 * MIB,  # what the topics of events let through
        description="larger values become dead letters",
    )
    max_future_hours: float = Field(
        default=24, gt=0, description="how far an event's time may be ahead of its record's"
    )


class LargeValueOptions(Section):
    """Values of events that lie in the object store instead of Kafka: the S3 of `stores.objects`, else a folder."""

    enabled: bool = Field(default=False, description="`travelos produce` puts them there")
    over_bytes: int = Field(default=900_000, ge=1_024, description="larger values go there")
    max_bytes: int = Field(
        default=8 * MIB, ge=1_024, description="even larger ones are not published, and refused by intake"
    )
    bucket: str = Field(default="", description="where they lie; empty: that of `stores.objects`")
    prefix: str = Field(
        default="large-values/", pattern=r"^([^/]+/)*$", description="before their names, after that of the store"
    )
