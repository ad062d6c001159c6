"""Keeps topics in the archive: reads them in a consumer group of its own and decides when an object is complete."""

from streams.archive.archiver import Archiver
from streams.archive.plan import Plan, plan_of, storage_of

__all__ = ["Archiver", "Plan", "plan_of", "storage_of"]
