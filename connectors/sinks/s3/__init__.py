"""Objects in S3."""

from connectors.sinks.s3.options import S3Options
from connectors.sinks.s3.sink import S3Sink

__all__ = ["S3Options", "S3Sink"]
