"""Large values in an object store under their hash; records carry claims to them (`schemas.claims`)."""

from connectors.large_values.store import MOST_BYTES, OVER_BYTES, LargeValues, ValueTooLarge

__all__ = ["MOST_BYTES", "OVER_BYTES", "LargeValues", "ValueTooLarge"]
