"""A folder of a test in memory where there is such a place, because waiting for a disk would be most of the time."""

import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Generator[Path]:
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="travelos-", dir=MEMORY) as folder:
        yield Path(folder)
