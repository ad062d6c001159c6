"""Version lines: for each source the newest version of an entity, and whether that was a delete. Pure.

A node or relation with one line carries it as `_source` and `_version`. Further lines are texts in the list `_lines`;
those of an entity that is gone are in the list `lines` of its tombstone.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

DIGITS = 19  # of the largest version


class Line(NamedTuple):
    """The newest version of one source."""

    version: int
    deleted: bool


Lines = dict[str, Line]


def written(lines: Lines) -> list[str]:
    """Return lines as texts of one form: 19 digits, "d" or "u", the source. Statements rely on the places."""
    return [f"{line.version:0{DIGITS}d}{'d' if line.deleted else 'u'}{source}" for source, line in lines.items()]


def read(texts: Iterable[str] | None) -> Lines:
    """Return lines that `written` wrote."""
    return {text[DIGITS + 1 :]: Line(int(text[:DIGITS]), text[DIGITS] == "d") for text in texts or ()}


def carried(source: str | None, version: int | None, further: Iterable[str] | None) -> Lines:
    """Return the lines that a node or relation carries; none when it was only named by others."""
    lines = read(further)
    if source is not None and version is not None:
        lines[source] = Line(version, deleted=False)
    return lines


def account(lines: Lines, source: str) -> dict[str, Any]:
    """Return the properties that carry lines, of which that of `source` is the newest."""
    further = written({other: line for other, line in lines.items() if other != source})
    return {"_source": source, "_version": lines[source].version, "_lines": further or None}
