"""The warehouse in a bucket of S3."""

import hashlib
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from connectors.sinks.s3.options import S3Options
from connectors.sinks.warehouse.lake import LakeSink
from connectors.storage.s3 import S3Storage


class S3WarehouseOptions(S3Options, frozen=True, kw_only=True):
    """Where the warehouse lies."""

    prefix: Annotated[str, Meta(description="before all keys; empty: none")] = "warehouse/"
    index_folder: Annotated[
        str, Meta(description="where this machine keeps the index of rows, which can be removed at any time")
    ] = "travelos-data/warehouse-index"


class S3WarehouseSink(LakeSink):
    """History in a bucket; see `LakeSink`."""

    def __init__(self, options: S3WarehouseOptions) -> None:
        place = f"{options.endpoint} {options.bucket} {options.prefix}"
        name = hashlib.sha256(place.encode()).hexdigest()[:16]
        super().__init__(S3Storage(options, "stores.warehouse"), Path(options.index_folder) / f"{name}.db")
