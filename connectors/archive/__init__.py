"""Topics kept in an object store: which objects there are, what is in them, how they get there and are read back."""

from connectors.archive.errors import ArchiveConflict, ArchiveError
from connectors.archive.names import Format, Name
from connectors.archive.partition import PartitionArchive

__all__ = [
    "ArchiveConflict",
    "ArchiveError",
    "Format",
    "Name",
    "PartitionArchive",
]
