"""The database of the benchmark: one table of seven columns, filled as it is wanted."""

from urllib.parse import urlsplit

import psycopg

TABLE = "public.rows"
COLUMNS = "id bigint PRIMARY KEY, name text, qty int, price numeric(12,2), ts timestamptz, ok boolean, note text"
# Some 90 bytes a row in the WAL's text.
_ROWS = (
    "SELECT g, 'name-' || g, (g % 1000)::int, (g % 100000)::numeric / 100,"
    " timestamptz '2026-01-01' + g * interval '1 second', g % 2 = 0, repeat(md5(g::text), 2)"
    " FROM generate_series({first}, {last}) g"
)


class Database:
    """One database, by its connection string."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @property
    def options(self) -> dict[str, str]:
        """How Debezium reaches it."""
        parts = urlsplit(self.dsn)
        return {
            "hostname": parts.hostname or "",
            "port": str(parts.port),
            "user": parts.username or "",
            "password": parts.password or "",
            "dbname": parts.path.removeprefix("/"),
        }

    def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def make(self, rows: int = 0) -> None:
        """Make the table anew, with so many rows."""
        self.run(f"DROP TABLE IF EXISTS {TABLE}", f"CREATE TABLE {TABLE} ({COLUMNS})")
        if rows:
            self.insert(1, rows)
        self.run(f"VACUUM ANALYZE {TABLE}", "CHECKPOINT")

    def insert(self, first: int, last: int, *, transaction: int | None = None) -> None:
        """Insert the rows from one id to another, in transactions of so many rows; by default in one."""
        if transaction is None:
            self.run(f"INSERT INTO {TABLE} {_ROWS.format(first=first, last=last)}")
            return
        some = _ROWS.format(first="lo", last=f"least(lo + {transaction - 1}, {last})")
        self.run(
            f"DO $$ BEGIN FOR lo IN {first}..{last} BY {transaction} LOOP"
            f" INSERT INTO {TABLE} {some}; COMMIT; END LOOP; END $$"
        )

    def forget(self) -> None:
        """Remove what the readers have left behind: slots and publications."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
            for (name,) in connection.execute("SELECT pubname FROM pg_publication").fetchall():
                connection.execute(f'DROP PUBLICATION "{name}"'.encode())
