"""The tables of the workload: every type, every replica identity, keys and names of every kind."""

from collections.abc import Mapping
from random import Random

from msgspec import Struct

from bench.cdc.workload.values import TYPES, column_of, literal, long_text, quoted, text

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
    """

    name: str
    key: str
    columns: Mapping[str, str]
    constraints: str
    identity: str = ""
    may_change: bool = True
    large: str | None = None

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
        made = [f"CREATE TABLE {self.sql} ({', '.join(columns)})"]
        if self.large:
            made.append(f"ALTER TABLE {self.sql} ALTER COLUMN {identifier(self.large)} SET STORAGE EXTERNAL")
        if self.identity:
            made.append(f"ALTER TABLE {self.sql} REPLICA IDENTITY {self.identity}")
        return made

    def value(self, draw: Random, column: str) -> str:
        """Return a random value of a column as SQL."""
        if column == self.large:
            return long_text(draw) if draw.random() < 0.7 else quoted(text(draw))
        return literal(draw, self.columns[column])


def identifier(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'


_FEW = {"a": "text", "n": "numeric(12,2)", "at": "timestamptz"}
_LARGE = {"large": "text", "note": "text", "numbers": "integer[]"}

EVERY_TYPE = Table(
    name="every_type",
    key="id",
    columns={column_of(name): name.replace("[][]", "[]") for name in TYPES},
    constraints="PRIMARY KEY (id)",
)
EVERY_TYPE_FULL = Table(
    name="every_type_full",
    key="id",
    columns=EVERY_TYPE.columns,
    constraints="PRIMARY KEY (id)",
    identity="FULL",
)
TOASTED = Table(name="toasted", key="id", columns=_LARGE, constraints="PRIMARY KEY (id)", large="large")
TOASTED_FULL = Table(
    name="toasted_full", key="id", columns=_LARGE, constraints="PRIMARY KEY (id)", identity="FULL", large="large"
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

TABLES = (EVERY_TYPE, EVERY_TYPE_FULL, TOASTED, TOASTED_FULL, BY_INDEX, NOTHING, NO_KEY, COMPOSITE, CHANGING)
TYPE_DEFINITIONS = (
    f"CREATE SCHEMA {SCHEMA}",
    "CREATE EXTENSION IF NOT EXISTS vector",
    f"CREATE TYPE {SCHEMA}.colour AS ENUM ('red', 'deep blue', 'it''s')",
    f"CREATE DOMAIN {SCHEMA}.amount AS numeric(12,2)",
    f"CREATE TYPE {SCHEMA}.pair AS (x int, y text)",
)


def prepare(tables: tuple[Table, ...] = TABLES) -> list[str]:
    """Return the statements that make the tables and their types in an empty database."""
    return [*TYPE_DEFINITIONS, *(statement for table in tables for statement in table.create())]
