"""What a server has beside the types that all of them have."""

import psycopg

from bench.cdc.workload.tables import EXTENSIONS
from bench.cdc.workload.values import OF_FEATURES

SINCE = {"multirange": 140_000, "negative scale": 150_000}


def features_of(dsn: str) -> tuple[str, ...]:
    """Return those of `OF_FEATURES` that a server has."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        version = connection.info.server_version
        rows = connection.execute("SELECT name::text FROM pg_available_extensions").fetchall()
        found = {name for (name,) in rows if name in EXTENSIONS}
        found |= {feature for feature, since in SINCE.items() if version >= since}
        try:
            connection.execute("SELECT '<a/>'::xml")
            found.add("xml")
        except psycopg.errors.FeatureNotSupported:
            pass  # built without libxml
    return tuple(feature for feature in OF_FEATURES if feature in found)
