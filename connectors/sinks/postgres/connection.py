"""Reach the server, and never wait for an answer without end."""

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.sinks.errors import Fatal
from connectors.sinks.postgres.errors import OPTION, connect_error

T = TypeVar("T")

REQUEST_SECONDS = 60.0

_DEFAULTS: dict[str, str | int] = {
    "application_name": "travelos",
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    "keepalives_count": 3,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "tcp_user_timeout": 30_000,
}


class Connection(psycopg.Connection[tuple[object, ...]]):
    """A connection whose statements end, with an error when nothing comes or goes for `request_seconds`.

    What TCP notices by itself (`keepalives`, `tcp_user_timeout`) is a host that is gone. A proxy or a server that takes
    what is sent and answers nothing is noticed here.
    """

    request_seconds: float | None = None  # None: for ever, as a migration may need

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Wait for a step of a statement to end; every statement goes through here."""
        return super().wait(
            gen if self.request_seconds is None else limited(gen, self.request_seconds), *args, **kwargs
        )


def connect(dsn: str, request_seconds: float = REQUEST_SECONDS) -> Connection:
    """Return a connection that notices within half a minute that the server is gone.

    Args:
        dsn: a URL or a connection string of libpq.
        request_seconds: longest wait for an answer.

    Raises:
        Unavailable: the server does not answer.
        Fatal: the address or the login is wrong; names the option, never the password.
    """
    try:
        given = conninfo_to_dict(dsn)
        if "@" in str(given.get("host", "")):
            raise Fatal(f"`{OPTION}`: a password with an @ in it must be written with %40")
        connection = Connection.connect(make_conninfo(dsn, **{k: v for k, v in _DEFAULTS.items() if k not in given}))
    except psycopg.Error as error:
        raise connect_error(error) from None  # the cause may repeat the password
    connection.request_seconds = request_seconds
    return connection


def limited(gen: PQGen[T], seconds: float) -> PQGen[T]:
    """Do what another generator does, as long as the server has something to say at least this often."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                deadline = time.monotonic() + seconds
            elif time.monotonic() >= deadline:
                raise psycopg.OperationalError(f"no answer within {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
