"""Where our events differ from Debezium's on purpose: one table, which the differential test holds both against.

Debezium 3.4.3 on PostgreSQL 18 with its defaults but `decimal.handling.mode=string`. What is not in this table is the
same, byte for byte but for the digits of floats.
"""

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from msgspec import Struct

from bench.cdc.comparison import Different, same

UNAVAILABLE = "__debezium_unavailable_value"
_REFORM_DAYS = -141_427  # 1582-10-15, when the calendar that Java's older classes follow begins
_DAY_US = 86_400_000_000
_DATE_INFINITY = (2**31 - 1, -(2**31))


class Difference(Struct, frozen=True, kw_only=True):
    """One difference and its reason.

    Attributes:
        what: it is about.
        debezium: what Debezium writes.
        here: what we write.
        reason: why.
        where: a regular expression on "<table> <op> <field>".
        explains: whether two values differ for this reason.
    """

    what: str
    debezium: str
    here: str
    reason: str
    where: str
    explains: Callable[[Any, Any], bool] = lambda _ours, _theirs: True

    def covers(self, found: Different) -> bool:
        """Whether it explains something that was found."""
        place = f"{found.table} {found.op} {found.field}"
        return re.fullmatch(self.where, place) is not None and self.explains(found.ours, found.theirs)


def unexplained(found: Sequence[Different]) -> list[Different]:
    """Return what no row of the table explains."""
    return [one for one in found if not any(row.covers(one) for row in DIFFERENCES)]


def unused(found: Sequence[Different]) -> list[Difference]:
    """Return the rows of the table that explain nothing of what was found."""
    return [row for row in DIFFERENCES if not any(map(row.covers, found))]


def page() -> str:
    """Return docs/cdc-differences.md."""
    rows = [f"| {row.what} | {row.debezium} | {row.here} | {row.reason} |" for row in DIFFERENCES]
    return _INTRODUCTION + "\n".join(["| | Debezium | here | why |", "|---|---|---|---|", *rows]) + "\n"


def _leaves(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs of values that differ, also those in arrays."""
    if not isinstance(ours, list) or not isinstance(theirs, list):
        if not same(ours, theirs):
            yield ours, theirs
        return
    mine, other = cast("list[Any]", ours), cast("list[Any]", theirs)
    if len(mine) != len(other):
        yield mine, other
    for pair in zip(mine, other, strict=False):
        yield from _leaves(*pair)


def _each(kind: type, explains: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Return whether all elements that differ are of a kind on both sides and each pair is explained."""
    return lambda ours, theirs: all(
        type(mine) is kind and type(other) is kind and explains(mine, other) for mine, other in _leaves(ours, theirs)
    )


def _same_float32(ours: Any, theirs: Any) -> bool:
    return struct.pack("f", ours) == struct.pack("f", theirs)


def _old_number(unit_us: int) -> Callable[[Any, Any], bool]:
    """Return whether a number of units since 1970 lies before the reform of the calendar, and theirs within days."""
    reform, most = _REFORM_DAYS * _DAY_US // unit_us, 800 * 366 * _DAY_US // unit_us
    return lambda ours, theirs: ours < reform and abs(ours - theirs) < most


def _old_text(ours: Any, _: Any) -> bool:
    return ours.startswith("-") or ours == "infinity" or int(ours[:4]) < 1583


def _infinite_or_old_date(ours: Any, theirs: Any) -> bool:
    return ours in _DATE_INFINITY or _old_number(_DAY_US)(ours, theirs)


def _time_without_microseconds(ours: Any, theirs: Any) -> bool:
    return theirs == ours % _DAY_US // 1_000 * 1_000


def _holds(value: Any) -> Callable[[Any, Any], bool]:
    """Return whether theirs is null and ours an array that holds a value."""
    return lambda ours, theirs: theirs is None and isinstance(ours, list) and value in ours


_ROW = "(?:after|before)"
_INTRODUCTION = """<!-- Written by `python -m bench.cdc.differences` from the table in that file. -->
# Where the events differ from Debezium's

Debezium 3.4.3 and ours read the same PostgreSQL 18 side by side while a random workload runs: all types, all
replica identities, changes of keys, TOAST, TRUNCATE, ALTER TABLE, savepoints, large transactions. Every field of every
event is compared (`test_the_events_are_debeziums_but_for_the_differences_that_are_listed`); what differs is in this
table, and each row of it is seen to differ. Debezium has its default options but `decimal.handling.mode=string`. Not
compared: the headers `__debezium.context.*`, which we do not write, and the time of processing.

"""

DIFFERENCES = (
    Difference(
        what="`source.version`",
        debezium="its version",
        here="ours",
        reason="whoever debugs should know who wrote an event",
        where=r".* source\.version",
    ),
    Difference(
        what="`source.lsn`, `sequence`, `txId`, `ts_*` of the rows of a snapshot",
        debezium="of the slot's consistent point",
        here="of the slot's first `restart_lsn`",
        reason="a change of a transaction that was open at the consistent point lies before it and would seem older "
        "than the row. (The two snapshots are also taken at two moments.)",
        where=r".* r source\.(lsn|sequence|txId|ts_ms|ts_us|ts_ns)",
    ),
    Difference(
        what="`source.snapshot`",
        debezium="`last` on the last row of its last table",
        here="the same, in the order of `source.tables`",
        reason="another order of the tables",
        where=r".* r source\.snapshot",
        explains=lambda ours, theirs: "last" in (ours, theirs),
    ),
    Difference(
        what="key with `REPLICA IDENTITY USING INDEX`",
        debezium="the primary key; 0 in deletes",
        here="the columns of the index",
        reason="a delete carries nothing else, so only that key can be the same in all events of a row",
        where=r"by_index . (key|headers)",
    ),
    Difference(
        what="`source.sequence` of the first events",
        debezium="null where nothing was committed since it started",
        here="the same",
        reason="the two start at two moments",
        where=r".* [cud] source\.sequence",
        explains=lambda ours, theirs: ours.startswith("[null,") or theirs.startswith("[null,"),
    ),
    Difference(
        what="`before` of a delete with the default replica identity, columns outside of the key",
        debezium="their default; without one made-up values (0, empty, 1970) where they are NOT NULL",
        here="null",
        reason="the WAL does not have them",
        where=r"(changing|by_index|every_type|toasted|Odd .*) d before\..*",
        explains=lambda ours, _: ours is None,
    ),
    Difference(
        what="a large value (TOAST) that an update left alone, not `REPLICA IDENTITY FULL`",
        debezium="`__debezium_unavailable_value`",
        here="the value that the row had last, where it is known; else the same",
        reason="the placeholder is no data; it is written always when that is asked for",
        where=rf".* . {_ROW}\..*",
        explains=lambda ours, theirs: theirs == UNAVAILABLE and isinstance(ours, str),
    ),
    Difference(
        what="null in a column that has a `DEFAULT`",
        debezium="the default",
        here="null",
        reason="the row holds null",
        where=rf"changing . {_ROW}\.extra_\d+",
        explains=lambda ours, _: ours is None,
    ),
    Difference(
        what="generated columns (`STORED`)",
        debezium="in the snapshot, not in the stream",
        here="in neither",
        reason="the same row has the same columns; Postgres does not replicate them",
        where=r"nothing r after\.twice",
    ),
    Difference(
        what="composite types and multiranges",
        debezium="left out, or bytes with `include.unknown.datatypes`",
        here="the text that Postgres prints",
        reason="nothing is lost",
        where=rf".* . {_ROW}\.(c_pair|c_int4multirange)",
        explains=lambda ours, _: ours is None or isinstance(ours, str),
    ),
    Difference(
        what="`interval`",
        debezium="sometimes a microsecond less",
        here="exact",
        reason="a month is 30.4375 days, as there; no floats on the way",
        where=rf".* . {_ROW}\.c_interval",
        explains=lambda ours, theirs: abs(ours - theirs) <= 1,
    ),
    Difference(
        what="`money` in the snapshot",
        debezium='`"0.0"`',
        here='`"0.00"`, as in the stream',
        reason="one form for one value",
        where=r".* r after\.c_money",
        explains=lambda ours, theirs: ours in (f"{theirs}0", f"{theirs}.00"),
    ),
    Difference(
        what="tombstone for a table without key",
        debezium="a record with neither key nor value",
        here="none",
        reason="it says nothing, and a compacted topic refuses it",
        where=r"no_key d tombstones",
    ),
    Difference(
        what="infinite dates, and dates before 1582-10-15",
        debezium="numbers that differ between snapshot and stream; shifted by the calendar of Julius Caesar",
        here="2147483647 and -2147483648; proleptic Gregorian as Postgres",
        reason="Postgres means them so",
        where=rf".* . {_ROW}\.(c_date|c_date_array|day)",
        explains=_each(int, _infinite_or_old_date),
    ),
    Difference(
        what="timestamps before 1582-10-15, in the snapshot and in arrays",
        debezium="shifted by days, BC read as AD",
        here="as Postgres means them",
        reason="the stream of Debezium has them right",
        where=rf".* . {_ROW}\.(c_timestamp(_array)?|at)",
        explains=_each(int, _old_number(1)),
    ),
    Difference(
        what="the same with a precision of at most 3",
        debezium="shifted by days, BC read as AD",
        here="as Postgres means them",
        reason="the stream of Debezium has them right",
        where=rf".* . {_ROW}\.c_timestamp_[03](_array)?",
        explains=_each(int, _old_number(1_000)),
    ),
    Difference(
        what="the same with time zone; infinity in arrays",
        debezium="shifted by days, BC read as AD; a date in the year 292269055",
        here='as Postgres means them; `"infinity"`, `"-infinity"` everywhere',
        reason="the stream of Debezium has them right",
        where=rf".* . {_ROW}\.(c_timestamptz(_2|_array)?|at|extra_\d+)",
        explains=_each(str, _old_text),
    ),
    Difference(
        what="`time[]`",
        debezium="whole milliseconds; 24:00:00 is 0",
        here="microseconds, as in a column that is no array",
        reason="nothing is lost",
        where=rf".* . {_ROW}\.c_time_array",
        explains=_each(int, _time_without_microseconds),
    ),
    Difference(
        what="`name` in the stream",
        debezium="null",
        here="text",
        reason="nothing is lost",
        where=rf".* [cud] {_ROW}\.c_name",
        explains=lambda _, theirs: theirs is None,
    ),
    Difference(
        what="`numeric[]` with NaN",
        debezium="the whole array is null",
        here='`"NAN"` in the array',
        reason="nothing is lost",
        where=rf".* . {_ROW}\.c_numeric_array",
        explains=_holds("NAN"),
    ),
    Difference(
        what="digits of `real`",
        debezium="those of Java",
        here="those of Postgres: the fewest that mean the same number",
        reason="the same 32 bits",
        where=rf".* . {_ROW}\.c_real(_array)?",
        explains=_each(float, _same_float32),
    ),
    Difference(
        what="arrays of an enum with a null element",
        debezium="the whole array is null",
        here="null in the array",
        reason="nothing is lost",
        where=rf".* . {_ROW}\.c_colour_array",
        explains=_holds(None),
    ),
)

if __name__ == "__main__":
    print(page(), end="")
