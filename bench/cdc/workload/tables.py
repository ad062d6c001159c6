"""The tables of the workload: every type, every replica identity, keys and names of every kind."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from msgspec import Struct, structs

from bench.cdc.workload.values import (
    BUILT_IN,
    OF_FEATURES,
    Draw,
    column_of,
    literal,
    long_array,
    long_text,
    outbox_payload,
    quoted,
    text,
)

SCHEMA = "workload"


class Table(Struct, frozen=True, kw_only=True):
    """A table of the workload.

    Attributes:
        name: as the catalogue has it.
        key: the first column, an integer that tells rows apart in the workload; not always the primary key.
        columns: its other columns, and their types.
        constraints: of the table, as SQL; with columns that no statement of the workload sets.
        identity: its replica identity, as SQL; empty for the default.
        may_change: whether Postgres lets a published table of this kind be updated.
        large: a column whose values lie outside of the row, None when there is none.
        values: what draws the values of columns for which those of their type would not do.
        storage: parameters of the table, as SQL.
    """

    name: str
    key: str
    columns: Mapping[str, str]
    constraints: str
    identity: str = ""
    may_change: bool = True
    large: str | None = None
    values: Mapping[str, Draw] = {}
    storage: str = ""

    @property
    def sql(self) -> str:
        """Its name, quoted, with its schema."""
        return f"{SCHEMA}.{identifier(self.name)}"

    @property
    def full_name(self) -> str:
        """Its name as options have it."""
        return f"{SCHEMA}.{self.name}"

    def create(self) -> list[str]:
        """Return the statements that make it."""
        columns = [f"{identifier(self.key)} int NOT NULL"]
        columns += [f"{identifier(name)} {kind}" for name, kind in self.columns.items()]
        columns += [self.constraints] if self.constraints else []
        made = [f"CREATE TABLE {self.sql} ({', '.join(columns)}){self.storage}"]
        if self.large:
            made.append(f"ALTER TABLE {self.sql} ALTER COLUMN {identifier(self.large)} SET STORAGE EXTERNAL")
        if self.identity:
            made.append(f"ALTER TABLE {self.sql} REPLICA IDENTITY {self.identity}")
        return made

    def value(self, draw: Random, column: str) -> str:
        """Return a random value of a column as SQL."""
        if column == self.large:
            return long_text(draw) if draw.random() < 0.7 else quoted(text(draw))
        return self.values[column](draw) if column in self.values else literal(draw, self.columns[column])


def identifier(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


_FEW = {"a": "text", "n": "numeric(12,2)", "at": "timestamptz"}
_LARGE = {"large": "text", "note": "text", "numbers": "integer[]", "amounts": "numeric(12,2)[]"}
_LARGE_VALUES: Mapping[str, Draw] = {"amounts": long_array}
# A row of more than 2 KB is cut down to 128 bytes, not to 2 KB: so middling values lie outside of it too.
_SMALL_ROWS = " WITH (toast_tuple_target = 128)"

TOASTED = Table(
    name="toasted",
    key="id",
    columns=_LARGE,
    constraints="PRIMARY KEY (id)",
    large="large",
    values=_LARGE_VALUES,
    storage=_SMALL_ROWS,
)
TOASTED_FULL = Table(
    name="toasted_full",
    key="id",
    columns=_LARGE,
    constraints="PRIMARY KEY (id)",
    identity="FULL",
    large="large",
    values=_LARGE_VALUES,
    storage=_SMALL_ROWS,
)
BY_INDEX = Table(
    name="by_index",
    key="code",
    columns=_FEW,
    constraints="pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, CONSTRAINT by_index_code UNIQUE (code)",
    identity="USING INDEX by_index_code",
)
NOTHING = Table(
    name="nothing",
    key="id",
    columns=_FEW,
    constraints="twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id)",
    identity="NOTHING",
    may_change=False,
)
NO_KEY = Table(name="no_key", key="n", columns={"a": "text", "at": "timestamp"}, constraints="", identity="FULL")
COMPOSITE = Table(
    name='Odd "Name" 1',
    key="Number",
    columns={"select": "text", 'with "quotes", %s': "text", "kind": "char(8)", "day": "date"},
    constraints='"Part" smallint NOT NULL DEFAULT 3, UNIQUE ("Number"), PRIMARY KEY ("Part", "Number")',
)
CHANGING = Table(
    name="changing", key="id", columns=_FEW, constraints="counted int NOT NULL DEFAULT 7, PRIMARY KEY (id)"
)

# Defaults that are constants (k_...), in the forms in which Postgres prints them, and others (e_...).
_DEFAULTS = {
    "k_small": "smallint DEFAULT -5",
    "k_int": "int DEFAULT 7",
    "k_big": "bigint DEFAULT 9223372036854775807",
    "k_scaled": "numeric(12,2) DEFAULT 5",
    "k_rounded": "numeric(12,2) NOT NULL DEFAULT 1.5",
    "k_negative": "numeric(20,6) DEFAULT '-1.25'",
    "k_real": "real DEFAULT 1.25",
    "k_double": "double precision DEFAULT -2.5e10",
    "k_text": "text DEFAULT 'it''s \\ \"100%\"'",
    "k_lines": "text DEFAULT E'a\\nb'",
    "k_varchar": "varchar(20) NOT NULL DEFAULT 'order'",
    "k_char": "char(8) DEFAULT 'abc'",
    "k_true": "boolean DEFAULT true",
    "k_uuid": "uuid DEFAULT '76019d1a-ad2e-4b22-96e9-1a6d6543c818'",
    "k_json": "jsonb DEFAULT '{\"a\": 1}'",
    "k_date": "date DEFAULT '2026-01-02'",
    "k_at": "timestamp DEFAULT '2026-01-02 03:04:05.678'",
    "k_at_3": "timestamp(3) DEFAULT '2026-01-02 03:04:05.678'",
    "k_moment": "timestamptz DEFAULT '2026-01-02 03:04:05+02'",
    "k_endless": "timestamptz DEFAULT 'infinity'",
    "k_time": "time DEFAULT '03:04:05'",
    "k_interval": "interval DEFAULT '1 day 02:00:00'",
    "k_bits": "bit(3) DEFAULT B'101'",
    "k_colour": f"{SCHEMA}.colour DEFAULT 'deep blue'",
    "k_list": "int[] DEFAULT '{1,2}'",
    "k_bytes": "bytea DEFAULT '\\x00ff'",
    "e_now": "timestamptz DEFAULT now()",
    "e_day": "date DEFAULT CURRENT_DATE",
    "e_text": "text DEFAULT lower('ABC')",
    "e_number": f"int DEFAULT nextval('{SCHEMA}.numbers')",
    "e_sum": "int DEFAULT (3 + 4)",
}
DEFAULTED = Table(
    name="defaulted",
    key="id",
    columns=_DEFAULTS,
    constraints="PRIMARY KEY (id)",
    values={
        name: lambda draw, required=" NOT NULL " in kind: draw.choice(["DEFAULT", "DEFAULT" if required else "NULL"])
        for name, kind in _DEFAULTS.items()
    },
)

# One that a program leaves messages in; it is captured only when somebody asks for it.
OUTBOX = Table(
    name="outbox",
    key="number",
    columns={
        "aggregatetype": "text NOT NULL DEFAULT 'order'",
        "aggregateid": "varchar(20) NOT NULL DEFAULT '0'",
        "type": "text",
        "payload": "jsonb",
        "shard": "int",
    },
    constraints='id uuid NOT NULL DEFAULT gen_random_uuid(), PRIMARY KEY (id), UNIQUE ("number")',
    values={
        "aggregatetype": lambda draw: quoted(draw.choice(["order", "user"])),
        "aggregateid": lambda draw: quoted(str(draw.randrange(20))),
        "type": lambda draw: draw.choice(["'created'", "'it''s'", "NULL"]),
        "payload": outbox_payload,
        "shard": lambda draw: draw.choice(["0", "3", "NULL"]),
    },
)

EXTENSIONS = ("vector", "hstore", "ltree", "citext", "postgis")
_DEFINITIONS = (
    f"CREATE SCHEMA {SCHEMA}",
    f"CREATE TYPE {SCHEMA}.colour AS ENUM ('red', 'deep blue', 'it''s')",
    f"CREATE DOMAIN {SCHEMA}.amount AS numeric(12,2)",
    f"CREATE DOMAIN {SCHEMA}.sum AS {SCHEMA}.amount CHECK (value > -1e12)",
    f"CREATE TYPE {SCHEMA}.pair AS (x int, y text)",
    f"CREATE SEQUENCE {SCHEMA}.numbers",
)
DEFAULT_FEATURES = ("multirange", "negative scale", "vector")  # of the server that tests start


def tables_with(features: Iterable[str]) -> tuple[Table, ...]:
    """Return the tables of a workload on a server that has these features, see `values.OF_FEATURES`."""
    types = [*BUILT_IN, *(name for feature in features for name in OF_FEATURES[feature])]
    columns = {column_of(name): name for name in types}
    every_type = Table(name="every_type", key="id", columns=columns, constraints="PRIMARY KEY (id)")
    full = structs.replace(every_type, name="every_type_full", identity="FULL")
    return (every_type, full, TOASTED, TOASTED_FULL, BY_INDEX, NOTHING, NO_KEY, COMPOSITE, CHANGING, DEFAULTED)


TABLES = tables_with(DEFAULT_FEATURES)


def prepare(tables: Sequence[Table] = TABLES, features: Iterable[str] = DEFAULT_FEATURES) -> list[str]:
    """Return the statements that make the tables and their types in an empty database."""
    extensions = [f"CREATE EXTENSION IF NOT EXISTS {name}" for name in features if name in EXTENSIONS]
    return [*_DEFINITIONS, *extensions, *(statement for table in tables for statement in table.create())]
