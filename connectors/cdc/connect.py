"""Connections to Postgres, and what its errors mean."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import Connection, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.cdc.errors import CdcError, ColumnMissing, Disconnected, Fatal, Misconfigured, SlotBusy
from schemas.reasons import shortened

# Every value is read as text, so what decides how a value is printed is the same for all our sessions, whatever the
# server, the database or the role have as their defaults.
SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "bytea_output": "hex",
    "xmloption": "content",
    "search_path": "pg_catalog",
    "idle_in_transaction_session_timeout": "0",
}
# A snapshot takes as long as it takes, and the other connections idle meanwhile. Older servers do not know these.
_LATER_TIMEOUTS = {140_000: "idle_session_timeout", 170_000: "transaction_timeout"}
# A dead peer is noticed in half a minute rather than in the two hours of the kernel's default.
NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

# What a server says before a session exists comes without an SQLSTATE.
_REFUSALS = {
    "password authentication failed": "check user and password",
    "no password supplied": "add the password",
    "no pg_hba.conf entry": "allow this client, user and database in pg_hba.conf",
    "does not support SSL": "set sslmode=prefer, or enable TLS on the server",
    "does not match host name": "name the host as its certificate does, or set sslmode=verify-ca",
    "requires a valid client certificate": "give one with sslcert= and sslkey=",
    "certificate authentication failed": "give a certificate of this user with sslcert= and sslkey=",
    "private key file": "see sslkey=: only its owner may read the file (chmod 600)",
    "channel binding": "set channel_binding=prefer, or a password that the server keeps as SCRAM-SHA-256",
    "certificate verify failed": "give the authority with sslrootcert=",
    "root certificate file": "give the authority with sslrootcert=",
    "does not exist": "check the names of user and database",
    "is not permitted to log in": "ALTER ROLE ... LOGIN",
    "must be superuser or replication role": "ALTER ROLE ... REPLICATION",
    "permission denied to start WAL sender": "ALTER ROLE ... REPLICATION",
    "invalid connection option": "see the parameter key words of libpq",
}
# Classes and codes of SQLSTATE that no retry can mend; PostgreSQL documentation, appendix A.
_PERMANENT = ("0A", "22", "28", "3D", "42", "53400", "55000")
_IN_USE = "55006"
_NO_SUCH_COLUMN = "42703"


def connect(dsn: str, *, name: str, replication: bool = False, statement_seconds: int = 0) -> Connection:
    """Open a connection in autocommit mode.

    Args:
        dsn: of the database.
        name: shown in `pg_stat_activity`, unless the dsn has an `application_name` of its own.
        replication: speak the replication protocol.
        statement_seconds: after which the server ends a statement; 0 for never.

    Raises:
        Misconfigured: the dsn cannot be used, or the server does not let us in.
        Disconnected: the server does not answer.
    """
    try:
        given = conninfo_to_dict(dsn)
        session = {**SESSION, "statement_timeout": f"{statement_seconds}s"}
        options = " ".join(f"-c {option}={value}" for option, value in session.items())
        params = {**NETWORK, "application_name": name, **given, "client_encoding": "UTF8"}
        params["options"] = f"{given.get('options') or ''} {options}".strip()
        if replication:
            params["replication"] = "database"
        connection = psycopg.connect(make_conninfo("", **params), autocommit=True)
    except psycopg.ProgrammingError:
        # libpq quotes what it does not understand, and that may be a part of the password.
        raise Misconfigured(
            "source.dsn: no connection string; write postgresql://user:password@host/database"
        ) from None
    except psycopg.Error as error:
        raise _refused(str(error)) from None  # the exception carries the password
    try:
        for version, option in _LATER_TIMEOUTS.items():
            if connection.info.server_version >= version:
                connection.execute(f"SET {option} = 0".encode())
    except psycopg.Error as error:
        connection.close()
        raise Disconnected(f"source.dsn: {' '.join(str(error).split())}") from None
    return connection


def _refused(message: str) -> CdcError:
    reason = " ".join(shortened(message).split())
    for words, remedy in _REFUSALS.items():
        if words in reason:
            return Misconfigured(f"source.dsn: {reason}; {remedy}")
    return Disconnected(f"source.dsn: {reason}")


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Turn errors of the driver into ours.

    Args:
        doing: what was tried, for the message: "<doing>: <what the server said>".

    Raises:
        Fatal: no retry can help.
        Disconnected: the connection is lost, or the server cannot do it now.
    """
    try:
        yield
    except psycopg.Error as error:
        raise explained(doing, error.sqlstate, error.diag.message_primary or str(error)) from None


def failure_of(doing: str, result: pq.abc.PGresult) -> CdcError:
    """Return the error that a result of libpq holds."""
    sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    return explained(doing, sqlstate.decode() if sqlstate else None, message.decode("utf-8", "replace"))


def explained(doing: str, sqlstate: str | None, message: str) -> CdcError:
    """Return our error for what the server said."""
    text = f"{doing}: {' '.join(shortened(message).split())}"
    if sqlstate == _IN_USE:
        return SlotBusy(text)
    if sqlstate == _NO_SUCH_COLUMN:
        return ColumnMissing(f"{text} ({sqlstate})")
    if sqlstate is not None and sqlstate.startswith(_PERMANENT):
        return Fatal(f"{text} ({sqlstate})")
    return Disconnected(text)
