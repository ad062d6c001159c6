"""Where our events differ from Debezium's on purpose: a table that the differential test holds both against.

What is not in it is the same, byte for byte but for the digits of floats and the order of members in JSON texts.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from bench.cdc.comparison import Different
from bench.cdc.configurations import CONFIGURATIONS
from bench.cdc.difference import Difference
from bench.cdc.listed_events import OF_EVENTS
from bench.cdc.listed_values import OF_SCHEMAS, OF_VALUES

DIFFERENCES = (*OF_EVENTS, *OF_VALUES, *OF_SCHEMAS)

_INTRODUCTION = """<!-- Written by `python -m bench.cdc.differences` from bench/cdc/listed_*.py. -->
# Where the events differ from Debezium's

Debezium 3.4.3 and ours read the same database side by side while a random workload runs: all types, all replica
identities, changes of keys, TOAST, TRUNCATE, ALTER TABLE, savepoints, large transactions, logical messages. Every field
of every event and of every schema is compared
(`test_the_events_are_debeziums_but_for_the_differences_that_are_listed`), in each of these configurations:

"""
_AFTER_CONFIGURATIONS = """
All of them on PostgreSQL 18 with pgvector; {older}, too, on PostgreSQL 15 with `hstore`, `ltree`, `citext`, `xml` and
PostGIS, which the former has not. Not compared: the headers `__debezium.context.*`, which we do not write, and the time
of processing. What differs is in these tables, and each row of them is seen to differ
(`test_each_listed_difference_is_seen`).

"""
ON_OLDER = ("debezium_defaults", "connect")


def unexplained(found: Iterable[Different], configuration: str) -> list[Different]:
    """Return what no row of the table explains."""
    return [one for one in found if not any(row.covers(one, configuration) for row in DIFFERENCES)]


def unused(found: Mapping[str, Sequence[Different]], features: Collection[str]) -> list[Difference]:
    """Return the rows of the table that explain nothing.

    Args:
        found: what was found, by configuration.
        features: of the servers; rows that need others are left out.
    """
    return [
        row
        for row in DIFFERENCES
        if (not row.feature or row.feature in features)
        and not any(row.covers(one, name) for name, ones in found.items() for one in ones)
    ]


def page() -> str:
    """Return docs/cdc-differences.md."""
    listed = "".join(f"- `{one.name}`: {one.about}\n" for one in CONFIGURATIONS)
    older = " and ".join(f"`{name}`" for name in ON_OLDER)
    tables = [("Events", OF_EVENTS), ("Values", OF_VALUES), ("Schemas", OF_SCHEMAS)]
    return (
        _INTRODUCTION
        + listed
        + _AFTER_CONFIGURATIONS.format(older=older)
        + "\n".join(f"## {title}\n{_table(rows)}" for title, rows in tables)
    )


def _table(rows: Iterable[Difference]) -> str:
    lines = [f"| {row.what} | {row.debezium} | {row.here} | {row.reason} |" for row in rows]
    return "\n".join(["| | Debezium | here | why |", "|---|---|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    print(page(), end="")
