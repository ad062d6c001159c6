"""What is said about workers: the roles as processes."""

from pydantic import Field

from streams.settings.section import Section


class Worker(Section):
    """How often a worker fetches, and what it says of itself: /metrics, /live and /ready."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="where they are served; 0.0.0.0 for probes from other machines"
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="their port; 0: they are not served. `run` counts up from it: ingest, deliver, cdc, sagas",
    )
    patience_seconds: float = Field(
        default=60, ge=1, description="what has work and does not move for so long makes the worker stuck"
    )
    fetch_interval_ms: int = Field(
        default=20,
        ge=0,
        le=1_000,
        description="least time between two fetches from a broker: fewer of them cost worker, broker and stores less, "
        "and a record waits half of it longer",
    )
