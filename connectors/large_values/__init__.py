"""Large values in an object store under their hash; records carry claims to them (`schemas.claims`)."""

from connectors.large_values.store import OVER_BYTES, LargeValues

__all__ = ["OVER_BYTES", "LargeValues"]
