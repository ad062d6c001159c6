"""Loads the warehouse in an object store into BigQuery tables."""

from connectors.bigquery.loader import BigQueryLoader, Loaded
from connectors.bigquery.statements import Destination

__all__ = ["BigQueryLoader", "Destination", "Loaded"]
