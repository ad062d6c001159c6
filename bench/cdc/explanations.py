"""Why two values may differ: whether ours and Debezium's are what a listed difference says. Pure."""

import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

from bench.cdc.comparison import MISSING, same

Explains = Callable[[Any, Any], bool]

UNAVAILABLE = "__debezium_unavailable_value"
_REFORM_DAYS = -141_427  # 1582-10-15, when the calendar that Java's older classes follow begins
DAY_US = 86_400_000_000
_DATE_INFINITY = (2**31 - 1, -(2**31))
_NOT_FINITE = ("NAN", "NaN", None)
_MESSAGE_OBJECT = "io.debezium.connector.postgresql.LogicalDecodingMessageMonitor"


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


def each(kind: type, explains: Explains) -> Explains:
    """Return whether all elements that differ are of a kind on both sides and each pair is explained."""
    return lambda ours, theirs: all(
        type(mine) is kind and type(other) is kind and explains(mine, other) for mine, other in _leaves(ours, theirs)
    )


def nearly_the_same_interval(ours: Any, theirs: Any) -> bool:
    """Whether two intervals in microseconds, or as texts, differ by at most a microsecond."""
    if isinstance(ours, int):
        return abs(ours - theirs) <= 1
    (start, seconds), (other, others) = (text.removesuffix("S").rsplit("M", 1) for text in (ours, theirs))
    return start == other and abs(float(seconds) - float(others)) <= 1e-6


def same_float32(ours: Any, theirs: Any) -> bool:
    """Whether two numbers are the same as `real`."""
    return struct.pack("f", ours) == struct.pack("f", theirs)


def old_number(unit_us: int) -> Explains:
    """Return whether a number of units since 1970 lies before the reform of the calendar, and theirs within days."""
    reform, most = _REFORM_DAYS * DAY_US // unit_us, 800 * 366 * DAY_US // unit_us
    return lambda ours, theirs: ours < reform and abs(ours - theirs) < most


def old_text(ours: Any, _: Any) -> bool:
    """Whether a text is a moment before the reform of the calendar, or infinity."""
    return (
        ours == "infinity" or re.match(r"-\d{4}-\d\d-|(0\d{3}|1[0-4]\d\d|15[0-7]\d|158[0-2])-\d\d-", ours) is not None
    )


def infinite_or_old_date(ours: Any, theirs: Any) -> bool:
    """Whether a number of days is infinity, or before the reform of the calendar."""
    return ours in _DATE_INFINITY or old_number(DAY_US)(ours, theirs)


def without_microseconds(ours: Any, theirs: Any) -> bool:
    """Whether theirs is a time of day in microseconds, cut to milliseconds; 24:00:00 is 0."""
    return theirs == ours % DAY_US // 1_000 * 1_000


def without_a_day(ours: Any, theirs: Any) -> bool:
    """Whether ours is 24:00:00 in milliseconds and theirs 0."""
    return ours == DAY_US // 1_000 and theirs == 0


def cut_time(ours: Any, theirs: Any) -> bool:
    """Whether theirs is the text of a time in UTC with fewer digits."""
    return ours.startswith(theirs.removesuffix("Z"))


def other_default(ours: Any, theirs: Any) -> bool:
    """Whether one of two values is null, or theirs is how ours begins: defaults that are cut at a quote or a blank."""
    return ours is None or theirs is None or (isinstance(ours, str) and ours.startswith(theirs))


def left_out(ours: Any, theirs: Any) -> bool:
    """Whether Debezium has no such member."""
    return ours != MISSING and theirs == MISSING


def is_null(_: Any, theirs: Any) -> bool:
    """Whether Debezium has null."""
    return theirs is None


def holds_nothing_finite(ours: Any, theirs: Any) -> bool:
    """Whether theirs is null and ours an array with NaN in it, which is null with `decimals = "precise"`."""
    return theirs is None and isinstance(ours, list) and any(one in _NOT_FINITE for one in cast("list[Any]", ours))


def holds_arrays(ours: Any, _: Any) -> bool:
    """Whether ours is an array of arrays."""
    return isinstance(ours, list) and any(isinstance(one, list) for one in cast("list[Any]", ours))


def holds_null(ours: Any, theirs: Any) -> bool:
    """Whether theirs is null and ours an array with null in it."""
    return theirs is None and isinstance(ours, list) and None in ours


def is_placeholder(ours: Any, theirs: Any) -> bool:
    """Whether theirs is null and ours some form of the placeholder."""
    # In base64 it begins with X19kZWJleml1b, and in an array of integers with the codes of "__".
    return theirs is None and any(form in str(ours) for form in (UNAVAILABLE, "X19kZWJleml1b", "[95, 95,"))


def schema_but(*members: str) -> Explains:
    """Return whether two schemas are the same but for some members, which may be missing."""

    def explains(ours: Any, theirs: Any) -> bool:
        if not isinstance(ours, dict) or not isinstance(theirs, dict):
            return False
        mine, other = (
            [(name, value) for name, value in schema.items() if name not in members]
            for schema in (cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs))
        )
        return mine == other

    return explains


def items_but_optional(ours: Any, theirs: Any) -> bool:
    """Whether two schemas of arrays differ only in whether elements may be null: here they may."""
    mine, other = ({**schema["items"], "optional": None} for schema in (ours, theirs))
    return mine == other and ours["items"]["optional"] and schema_but("items")(ours, theirs)


def later_in_sequence(ours: Any, theirs: Any) -> bool:
    """Whether two sequences have the same LSN at the end, and theirs a later one before it."""
    (mine, lsn), (other, their_lsn) = json.loads(ours), json.loads(theirs)
    return lsn == their_lsn and other is not None and (mine is None or int(other) > int(mine))


def same_counts(ours: Any, theirs: Any) -> bool:
    """Whether the counts of a transaction are the same, whatever their order and the names of messages."""
    if not isinstance(ours, list) or not isinstance(theirs, list):
        return False
    counts: list[Counter[str]] = []
    for side in (cast("list[Any]", ours), cast("list[Any]", theirs)):
        counts.append(Counter())
        for one in side:
            name: str = one["data_collection"]
            counts[-1]["LOGICAL_DECODING_MESSAGE" if name.startswith(_MESSAGE_OBJECT) else name] += one["event_count"]
    return counts[0] == counts[1]


def same_when_parsed(ours: Any, theirs: Any) -> bool:
    """Whether two texts hold the same JSON."""
    return isinstance(ours, str) and isinstance(theirs, str) and json.loads(ours) == json.loads(theirs)


def same_with_zeros(ours: Any, theirs: Any) -> bool:
    """Whether two texts are the same number, theirs with zeros behind the point."""
    return isinstance(theirs, str) and theirs.rstrip("0") == f"{ours}."


def half_a_character(ours: Any, theirs: Any) -> bool:
    """Whether theirs ends with half of a character, or is a part of the placeholder."""
    return theirs == f"{ours}\ufffd" or (ours == UNAVAILABLE and UNAVAILABLE.startswith(theirs))
