"""What PostgreSQL's errors mean for a write, for a batch, and for whoever set it up."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from connectors.sinks.errors import Fatal, SinkError, Unavailable

OPTION = "stores.relational.url"

# Classes of SQLSTATE (PostgreSQL's documentation, appendix A).
_OF_ONE_WRITE = ("22", "23", "54")  # data exception, constraint, a limit of the program (index row too large)
_PASSING = ("08", "25", "40", "53", "55", "57")  # connection, read-only standby, rollback, resources, locks, shutdown
_SETUP = ("28", "3D", "3F", "42")  # login, database, schema, permission or a table that somebody has changed

# libpq gives no SQLSTATE for a refused login. A server that speaks another language is taken for unavailable.
_REFUSED_LOGINS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
    "invalid integer value",
    "invalid connection option",
    "Servname not supported",
    "invalid sslmode",
)


def rejection(error: Exception) -> str | None:
    """Return why the one write of a statement was refused; None when it is not the write's fault."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return _first_line(error) if error.sqlstate[:2] in _OF_ONE_WRITE else None
    if isinstance(error, psycopg.DataError | UnicodeEncodeError):  # refused by the client
        return _first_line(error)
    return None


def connect_error(error: psycopg.Error) -> SinkError:
    """Return what a failed connection means."""
    text = _first_line(error)
    if isinstance(error, psycopg.ProgrammingError):  # its message repeats the string, password included
        return Fatal(f"`{OPTION}` is no connection string; write postgresql://user:password@host:port/database")
    if any(phrase in text for phrase in _REFUSED_LOGINS):
        return Fatal(f"PostgreSQL refuses what `{OPTION}` says: {text}")
    return Unavailable(f"PostgreSQL does not answer: {text}")


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of a connection into the closed set of the contract.

    Raises:
        Unavailable: the connection is lost, the server is going down, full, or waits for another one's locks.
        Fatal: permission or schema; names the option.
    """
    try:
        yield
    except psycopg.Error as error:
        state = (error.sqlstate or "")[:2]
        if state in _SETUP:
            raise Fatal(
                f"PostgreSQL refuses ({_first_line(error)}); let `{OPTION}` name a user who owns the schema"
            ) from error
        if state in _PASSING or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            raise Unavailable(f"PostgreSQL: {_first_line(error)}") from error
        raise Fatal(f"PostgreSQL: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
