"""The options of BigQuery."""

from pathlib import Path

from pydantic import Field

from streams.settings.section import Section


class BigQuery(Section):
    """Where `travelos warehouse load` loads the warehouse to."""

    project: str = Field(default="", description="project of the dataset, which pays for the jobs")
    dataset: str = Field(default="travel", pattern=r"^[A-Za-z0-9_]+$", description="dataset, made when it is missing")
    location: str = Field(default="EU", min_length=1, description="where it lies")
    credentials_file: Path | None = Field(
        default=None, description="key of a service account; empty: what Google's libraries find"
    )
    endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="of another server than Google's, which asks for no login"
    )
