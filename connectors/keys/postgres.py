"""Users' keys in a Postgres table, for several machines.

An update leaves the old row in the table's file, and VACUUM leaves its bytes there until somebody needs the room. So
after a destruction the table is written anew; others wait for that, 0.24 s for 100,000 keys.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from psycopg import sql

from connectors.keys.contract import StoredKey
from connectors.sinks.errors import Fatal, SinkError, Unavailable
from connectors.sinks.postgres.connection import Connection, connect
from connectors.sinks.postgres.errors import interpreted

OPTION = "keys.url"
SCHEMA = "travelos_keys"
_LOCK = 0x74726B657973  # "trkeys": one process at a time creates the table
_TABLE = sql.Identifier(SCHEMA, "user_keys")
_COLUMNS = "user_id, key_id, master, wrapped"

_GET = sql.SQL("SELECT {} FROM {} WHERE user_id = ANY(%s::text[])").format(sql.SQL(_COLUMNS), _TABLE)
_ADD = sql.SQL(
    "INSERT INTO {} ({}) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) ON CONFLICT DO NOTHING"
).format(_TABLE, sql.SQL(_COLUMNS))
_DESTROY = sql.SQL(
    "INSERT INTO {} SELECT one, '', '', NULL FROM unnest(%s::text[]) AS given (one) "
    "ON CONFLICT (user_id) DO UPDATE SET key_id = '', master = '', wrapped = NULL"
).format(_TABLE)
_AFRESH = sql.SQL("DELETE FROM {} WHERE user_id = ANY(%s::text[]) AND wrapped IS NULL").format(_TABLE)
# A change of a column's type by an expression copies what is visible now (documentation of ALTER TABLE, "Notes").
# VACUUM FULL copies also what a transaction might still see that began before, whatever it reads.
_REWRITE = sql.SQL("ALTER TABLE {} ALTER COLUMN wrapped TYPE bytea USING wrapped || ''").format(_TABLE)
_PAGE = sql.SQL("SELECT {} FROM {} WHERE user_id > %s AND wrapped IS NOT NULL ORDER BY user_id LIMIT %s").format(
    sql.SQL(_COLUMNS), _TABLE
)
_REWRAP = sql.SQL(
    "UPDATE {} AS held SET master = new.master, wrapped = new.wrapped "
    "FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) AS new (user_id, key_id, master, wrapped) "
    "WHERE held.user_id = new.user_id AND held.key_id = new.key_id AND held.wrapped IS NOT NULL"
).format(_TABLE)
_MASTERS = sql.SQL("SELECT DISTINCT master FROM {} WHERE wrapped IS NOT NULL").format(_TABLE)
_EMPTY = sql.SQL("SELECT NOT EXISTS (SELECT 1 FROM {})").format(_TABLE)


class PostgresKeyStore:
    """A `KeyStore` in the schema `travelos_keys` of a database. A connection that was lost is opened anew."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._opened: Connection | None = None

    def open(self) -> None:
        """Connect, and make the table. May be called again."""
        if self._opened is not None and not self._opened.closed:
            return
        with _named():
            connection = connect(self._dsn)
        connection.autocommit = True  # each statement is whole by itself
        try:
            with _named(), interpreted():
                if connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.user_keys",)).fetchone() == (None,):
                    _create(connection)
        except BaseException:
            connection.close()
            raise
        self._opened = connection

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        """Return what is held of these users."""
        return {str(row[0]): _stored(row) for row in self._rows(_GET, [list(user_ids)])}

    def add(self, keys: Sequence[StoredKey]) -> dict[str, StoredKey]:
        """Take in keys of users who have none, and return what is held of all of them now."""
        # In one order in all processes, or two would wait for each other.
        self._done(_ADD, _columns(sorted(keys, key=lambda one: one.user_id)))
        return self.get([one.user_id for one in keys])

    def destroy(self, user_ids: Sequence[str]) -> None:
        """Put a mark in place of the keys, and write the table anew without them."""
        self._done(_DESTROY, [sorted(set(user_ids))])
        # Always: what an earlier call was killed before is done by the one that repeats it.
        with _named(), interpreted():
            connection = self._connection
            limit, connection.request_seconds = connection.request_seconds, None  # a large table takes its time
            try:
                connection.execute(_REWRITE)
            finally:
                connection.request_seconds = limit

    def start_afresh(self, user_ids: Sequence[str]) -> None:
        """Remove the marks of destroyed keys."""
        self._done(_AFRESH, [list(user_ids)])

    def page(self, after: str, limit: int) -> list[StoredKey]:
        """Return up to `limit` keys of users behind `after`, in order."""
        return [_stored(row) for row in self._rows(_PAGE, [after, limit])]

    def rewrap(self, keys: Sequence[StoredKey]) -> int:
        """Replace how keys are wrapped, where they are still the same."""
        return self._done(_REWRAP, _columns(keys))

    def masters(self) -> frozenset[str]:
        """Return the ids of all master keys that some key is wrapped by."""
        return frozenset(str(row[0]) for row in self._rows(_MASTERS, []))

    def empty(self) -> bool:
        """Whether there is neither a key nor a mark."""
        return self._rows(_EMPTY, []) == [(True,)]

    def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _connection(self) -> Connection:
        if self._opened is None or self._opened.closed:
            self.open()
        assert self._opened is not None
        return self._opened

    def _rows(self, statement: sql.Composed, parameters: Sequence[object]) -> list[tuple[object, ...]]:
        with _named(), interpreted():
            return self._connection.execute(statement, parameters).fetchall()

    def _done(self, statement: sql.Composed, parameters: Sequence[object]) -> int:
        with _named(), interpreted():
            return self._connection.execute(statement, parameters).rowcount


def _create(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        # "C": pages follow the order of the bytes, whatever the database's language.
        connection.execute(
            sql.SQL(
                'CREATE TABLE IF NOT EXISTS {} (user_id text COLLATE "C" PRIMARY KEY, key_id text NOT NULL, '
                "master text NOT NULL, wrapped bytea)"
            ).format(_TABLE)
        )


@contextmanager
def _named() -> Generator[None]:
    """Have errors name the option of this store instead of that of the relational one."""
    try:
        yield
    except SinkError as error:
        text = str(error).replace("stores.relational.url", OPTION)
        raise (Fatal(text) if isinstance(error, Fatal) else Unavailable(text)) from error


def _columns(keys: Sequence[StoredKey]) -> list[list[str] | list[bytes | None]]:
    return [
        [one.user_id for one in keys],
        [one.key_id for one in keys],
        [one.master for one in keys],
        [one.wrapped for one in keys],
    ]


def _stored(row: tuple[object, ...]) -> StoredKey:
    user_id, key_id, master, wrapped = row
    assert isinstance(wrapped, bytes | None)
    return StoredKey(user_id=str(user_id), key_id=str(key_id), master=str(master), wrapped=wrapped)
