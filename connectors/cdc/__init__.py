"""Postgres changes to Kafka in the Debezium format.

The way of a change: `replication` (the connection) -> `pgoutput` (bytes to messages) -> `transactions` (what one
message says about the next) -> `tables` and `types` (columns to JSON) -> `envelope` (records) -> `publisher`. The way
back: `acknowledgement` (what Kafka has) -> `offset_log` (the offset in Kafka) -> the status to the server, in `stream`.
Before that `preflight` looks, `start` decides and `initial` reads what the tables hold already.
"""

from connectors.cdc.checking import check
from connectors.cdc.config import CdcConfig
from connectors.cdc.counters import Counters
from connectors.cdc.found import Finding
from connectors.cdc.source import Source
from connectors.cdc.stop import Stop
from connectors.cdc.types import UNAVAILABLE

__all__ = ["UNAVAILABLE", "CdcConfig", "Counters", "Finding", "Source", "Stop", "check"]
