"""Whole objects under names, in S3 or in a folder: what the archive, large values and the warehouse lie in."""

from connectors.storage.contract import Found, LostRace, Storage
from connectors.storage.folder import FolderStorage

__all__ = ["FolderStorage", "Found", "LostRace", "Storage"]
