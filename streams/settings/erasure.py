"""The options of erasures."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from streams.settings.section import Section


class ErasureOptions(Section):
    """Persons who ask to be forgotten."""

    enabled: bool = Field(
        default=False,
        description="their events are held back and the role erasure, which has to run, erases them; false: the "
        "request is recorded only",
    )
    policy: Literal["refuse", "afresh"] = Field(
        default="refuse",
        description="new events of somebody who was erased: go no further, or begin afresh; older ones go no further",
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="Ed25519 key (PEM, PKCS 8) that certificates are signed with; empty: erasure/signing-key.pem in "
        "data_dir, made when it is missing",
    )
    certificates: Path | None = Field(
        default=None, description="folder of certificates as files; empty: erasure/certificates in data_dir"
    )
    archive: Literal["rewrite", "keep"] = Field(
        default="rewrite",
        description="take their records out of the archive, each object of which is read for that; keep: it stays as "
        "it is, for where all that is archived is sealed",
    )
    plain_minutes: float = Field(
        default=0,
        ge=0,
        description="delete events from the topics that they come in when they are so old and ingest has taken them, "
        "and the archive where it is on; 0: they stay until their topics' retention",
    )
    rewrite: bool = Field(
        default=True,
        description="have stores rewrite their files without what was deleted, as far as they can be made to (VACUUM, "
        "BGREWRITEAOF, _forcemerge and the like); false: that is left to them",
    )

    @property
    def segment_ms(self) -> int | None:
        """How old segments of the topics of events may become, for what is deleted to leave the disk; None: as ever."""
        return max(1, int(self.plain_minutes * 60_000)) if self.enabled and self.plain_minutes else None
