"""Released versions of the schemas, and what they allow to change: BACKWARD_TRANSITIVE.

A reader of today must read all that was ever written, because topics are replayed from their start and archives from
theirs. So a schema is compared with every released version of its subject, not with the last one only: a field may not
come back with another type.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from schemas.compatibility import incompatibilities

Schema = Mapping[str, Any]


class Breach(Struct, frozen=True, order=True):
    """A difference that makes records of a released version unreadable. `path` is "" for the whole subject."""

    subject: str
    version: int
    path: str
    reason: str

    def __str__(self) -> str:
        field = f" {self.path}:" if self.path else ""
        return f"{self.subject}:{field} {self.reason} (against version {self.version})"


def breaches(current: Mapping[str, Schema], released: Mapping[str, Mapping[int, Schema]]) -> list[Breach]:
    """Return every incompatibility of the current schemas with the released versions, by subject and version."""
    found: list[Breach] = []
    for subject, versions in released.items():
        for version, schema in versions.items():
            if subject not in current:
                found.append(Breach(subject, version, "", "the subject was removed, its records can no longer be read"))
                continue
            differences = incompatibilities(schema, current[subject])
            found += [Breach(subject, version, one.path, one.reason) for one in differences]
    return sorted(found)


def next_version(current: Schema, versions: Mapping[int, Schema]) -> int | None:
    """Return the number under which the current schema is to be released; None when the last one is the same."""
    last = max(versions, default=0)
    return None if versions.get(last) == current else last + 1
