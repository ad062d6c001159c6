"""The options of the archive."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from streams.settings.section import Section


def _is_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Expression = Annotated[str, AfterValidator(_is_expression)]


class Archive(Section):
    """Topics kept in the object store: the S3 of `stores.objects`, else a folder below `data_dir`."""

    enabled: bool = Field(default=False, description="`run` keeps it, too; alone: `travelos archive run`")
    include: list[Expression] = Field(
        default=[],
        description="expressions of whole topic names; empty: all events, changes of tables and, where conflicts are "
        "settled, claims",
    )
    exclude: list[Expression] = Field(default=[], description="expressions of topics that are not kept all the same")
    format: Literal["jsonl", "parquet"] = Field(
        default="jsonl", description="of new objects: gzip JSON lines, or Parquet; both hold every byte"
    )
    bucket: str = Field(default="", description="of the archive; empty: that of `stores.objects`")
    prefix: str = Field(
        default="archive/",
        pattern=r"^([^/]+/)*$",
        description="before the names of its objects, after that of the store",
    )
    file_records: int = Field(default=500_000, ge=1, description="an object is complete with so many records")
    file_mib: int = Field(default=32, ge=1, le=1_024, description="or about so large, compressed")
    file_seconds: float = Field(
        default=600, gt=0, description="or so long after its first record was read, also when nothing new comes"
    )
    memory_mib: int = Field(
        default=256, ge=8, description="of all objects being collected; when it is more, the largest is complete"
    )
