"""InfluxDB 2, built from the Go and Rust sources of its module."""

from deploy.local.influxdb.server import InfluxServer

__all__ = ["InfluxServer"]
