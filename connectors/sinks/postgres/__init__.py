"""Relational facts in PostgreSQL."""

from connectors.sinks.postgres.reader import RelationalReader
from connectors.sinks.postgres.sink import RelationalSink

__all__ = ["RelationalReader", "RelationalSink"]
