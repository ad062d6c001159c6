"""Every event and activity as Parquet in folders by day, which DuckDB, Spark and BigQuery read in place."""

from connectors.sinks.warehouse.reader import WarehouseReader
from connectors.sinks.warehouse.sink import WarehouseSink

__all__ = ["WarehouseReader", "WarehouseSink"]
