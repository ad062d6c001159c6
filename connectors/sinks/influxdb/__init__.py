"""Points in InfluxDB 2."""

from connectors.sinks.influxdb.options import InfluxOptions
from connectors.sinks.influxdb.sink import InfluxSink

__all__ = ["InfluxOptions", "InfluxSink"]
