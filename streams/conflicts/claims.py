"""What a source says of an entity."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct

from streams.conflicts.canonical import canonical, digest

Content = dict[str, Any]


class Claim(Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """What one source says an entity is.

    Attributes:
        source: names the version line.
        version: newer ones of one source are larger; those of two sources do not compare.
        at_ms: when it became so, in milliseconds since 1970.
        content: None: the entity is not there any more.
        confidence: from 0 to 1.
        region: where it was said.
        base: digest of the content that this changed; None: the source does not tell.
        since: when members came to be as they are, for those that were so before `at_ms` by the source's own claims.
    """

    source: str
    version: int
    at_ms: int
    content: Content | None
    confidence: float = 1.0
    region: str = ""
    base: bytes | None = None
    since: Mapping[str, int] = {}

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of the content."""
        return digest(self.content)

    @property
    def moment(self) -> tuple[int, str, bytes]:
        """What orders claims by time, and those of one millisecond somehow, the same everywhere."""
        return self.at_ms, self.source, canonical(self.content)
