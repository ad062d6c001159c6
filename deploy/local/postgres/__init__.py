"""PostgreSQL from the binaries of a PyPI wheel."""

from deploy.local.postgres.server import PostgresServer

__all__ = ["PostgresServer"]
