# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false
"""Where the Parquet files of the warehouse lie."""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from connectors.sinks.warehouse.parquet import Source, write_table

BEING_WRITTEN = "_tmp"  # Spark and Hive skip names that begin with "_"


class Placed(NamedTuple):
    """A file that was written: its path in the warehouse, and its size in bytes."""

    path: str
    size: int


class Files(Protocol):
    """Files that never change, by their paths in the warehouse: `<dataset>/day=YYYY-MM-DD/part-*.parquet`."""

    def open(self) -> None:
        """Make what is missing."""
        ...

    def place(self, folder: str, number: int, table: Any) -> Placed:
        """Write a table to a new file of a folder, whole or not at all."""
        ...

    def settle(self, paths: Iterable[str]) -> None:
        """Return when files that were placed survive a power failure."""
        ...

    def source(self, path: str) -> Source:
        """Return a file to be read.

        Raises:
            FileNotFoundError: another process has merged it away.
        """
        ...

    def holds(self, path: str) -> bool:
        """Whether a file is there. Where others may merge it away, `source` says so."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error."""
        ...

    def listed(self) -> list[str]:
        """Return the paths of all files."""
        ...

    def clear(self) -> None:
        """Remove what was still being written when a process was killed; nobody else writes now."""
        ...


class FolderFiles:
    """Files in a folder of this machine; see `Files`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder."""
        (self._folder / BEING_WRITTEN).mkdir(parents=True, exist_ok=True)

    def place(self, folder: str, number: int, table: Any) -> Placed:
        """Write a file elsewhere, wait until it is on the disk, and rename it to its place."""
        path = f"{folder}/part-{number:08d}-{uuid.uuid4().hex[:8]}.parquet"
        temporary = self._folder / BEING_WRITTEN / Path(path).name
        with temporary.open("xb") as file:
            write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(self._folder / path)
        return Placed(path, size)

    def settle(self, paths: Iterable[str]) -> None:
        """Flush the folders of files."""
        for folder in {(self._folder / path).parent for path in paths}:
            for above in (folder, folder.parent, self._folder):
                _flush(above)

    def source(self, path: str) -> Source:
        """Return the place of a file."""
        return self._folder / path

    def holds(self, path: str) -> bool:
        """Whether a file is there."""
        return (self._folder / path).exists()

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files."""
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)

    def listed(self) -> list[str]:
        """Return the paths of all files."""
        return [str(path.relative_to(self._folder)) for path in self._folder.glob("*/day=*/part-*.parquet")]

    def clear(self) -> None:
        """Remove what lies where files are written."""
        for leftover in (self._folder / BEING_WRITTEN).iterdir():
            leftover.unlink()


def _flush(folder: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
