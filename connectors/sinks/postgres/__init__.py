"""Relational facts in PostgreSQL."""

from connectors.sinks.postgres.connection import REQUEST_SECONDS
from connectors.sinks.postgres.reader import RelationalReader
from connectors.sinks.postgres.sink import RelationalSink

__all__ = ["REQUEST_SECONDS", "RelationalReader", "RelationalSink"]
