"""What a server has beside the built-in types, and a server that has more of it than the one that tests start."""

from pathlib import Path

import psycopg

from bench.cdc.workload.tables import EXTENSIONS
from bench.cdc.workload.values import OF_FEATURES
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerFailed

SINCE = {"multirange": 140_000, "negative scale": 150_000}
PACKAGES = Path("/usr/lib/postgresql")  # where Debian's packages put each version


class SystemPostgres(PostgresServer):
    """PostgreSQL as the system has it, which brings the extensions of PostgreSQL's own distribution and XML."""

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the programs of the newest version.

        Raises:
            ServerFailed: there is none.
        """
        found = sorted((int(folder.parent.name), folder) for folder in PACKAGES.glob("[0-9]*/bin"))
        if not found:
            raise ServerFailed(f"no PostgreSQL in {PACKAGES}: apt-get install postgresql postgresql-contrib")
        return found[-1][1]


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
