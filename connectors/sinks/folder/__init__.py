"""Objects in a local folder: each under its key, beside it a file that describes it."""

from connectors.sinks.folder.reader import FolderReader, ObjectDamaged, StoredObject
from connectors.sinks.folder.sink import FolderSink

__all__ = ["FolderReader", "FolderSink", "ObjectDamaged", "StoredObject"]
