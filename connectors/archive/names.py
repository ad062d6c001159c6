"""The names of an archive's objects, and what they say. Pure.

`topics/<topic>/partition=<p>/day=<YYYY-MM-DD>/<topic>+<p>+<first>+<last>.<extension>`, after the layout of Kafka
Connect's S3 sink. `first` to `last` are the offsets that the object answers for, without a gap to the object before:
where the topic has gaps of its own (compaction, transactions), `first` may be no record's offset. `day` is that of the
object's first record in UTC; no record in the object has a later one.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

Format = Literal["jsonl", "parquet"]
EXTENSIONS: dict[Format, str] = {"jsonl": "jsonl.gz", "parquet": "parquet"}
TOPICS = "topics/"
HEADS = "heads/"

_OFFSET_DIGITS = 20  # of the greatest offset and one more; so names sort as offsets do
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, after which Python has no dates
_NAME = re.compile(
    r"topics/(?P<topic>[^/]+)/partition=(?P<partition>\d+)/day=(?P<day>\d{4}-\d{2}-\d{2})/"
    r"(?P=topic)\+(?P=partition)\+(?P<first>\d+)\+(?P<last>\d+)\.(?P<extension>jsonl\.gz|parquet)"
)


class Name(NamedTuple):
    """What the name of an object says: it answers for the offsets `first` to `last`."""

    topic: str
    partition: int
    day: str
    first: int
    last: int
    format: Format

    @property
    def path(self) -> str:
        """The name."""
        first, last = (str(offset).zfill(_OFFSET_DIGITS) for offset in (self.first, self.last))
        file = f"{self.topic}+{self.partition}+{first}+{last}.{EXTENSIONS[self.format]}"
        return f"{partition_prefix(self.topic, self.partition)}day={self.day}/{file}"


def topic_prefix(topic: str) -> str:
    """Return what the names of a topic's objects begin with."""
    return f"{TOPICS}{topic}/"


def partition_prefix(topic: str, partition: int) -> str:
    """Return what the names of a partition's objects begin with."""
    return f"{topic_prefix(topic)}partition={partition}/"


def head_path(topic: str, partition: int) -> str:
    """Return the name of the object that says how far a partition is archived."""
    return f"{HEADS}{topic}/{partition}.json"


def parse(path: str) -> Name | None:
    """Return what a name says; None when it is not one of an archive's objects."""
    found = _NAME.fullmatch(path)
    if found is None:
        return None
    form: Format = "parquet" if found["extension"] == "parquet" else "jsonl"
    return Name(found["topic"], int(found["partition"]), found["day"], int(found["first"]), int(found["last"]), form)


def named(paths: Iterable[str]) -> list[Name]:
    """Return those of the names that are an archive's, by topic, partition and offset."""
    found = [name for name in map(parse, paths) if name is not None]
    return sorted(found, key=lambda name: (name.topic, name.partition, name.first, name.last))


def day_of(timestamp: int) -> str:
    """Return the day of a record's timestamp in UTC, as in "2026-01-31"; times outside of 1970 to 9999 are its ends.

    Args:
        timestamp: milliseconds since 1970; -1, for a record without one, counts as 1970.
    """
    moment = datetime.fromtimestamp(min(max(timestamp, 0), _LAST_MS) // 1_000, UTC)
    return moment.date().isoformat()
