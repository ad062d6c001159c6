"""PostgreSQL from the binaries of a PyPI wheel."""

from deploy.local.postgres.server import PostgresServer
from deploy.local.postgres.standby import PostgresStandby

__all__ = ["PostgresServer", "PostgresStandby"]
