"""Where the files and libraries of models are, and what names a model's revision."""

import hashlib
import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from connectors.embedders.contract import ModelUnavailable

_BLOCK = 1 << 20


def models_folder() -> Path:
    """Return the folder for models that were put on this machine by hand: `models` in the project's cache folder."""
    return Path(os.environ.get("TRAVELOS_CACHE") or Path.home() / ".cache" / "travelos") / "models"


def revision(files: Iterable[Path]) -> str:
    """Return 12 hexadecimal digits that change when the bytes of any file do, and with nothing else.

    A package's version would call the same weights a new model at every release, and every stored vector stale.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def library(module: str, *, option: str, extra: str) -> Any:
    """Import the library of an optional model.

    Raises:
        ModelUnavailable: it is not installed; names the option that asked for it and the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelUnavailable(
            f"option {option} needs the library `{module}` ({error}): pip install 'travelos-streams[{extra}]'"
        ) from error


def hub_folders(repository: str) -> Sequence[Path]:
    """Return where Hugging Face's libraries keep a repository they once downloaded, the newest snapshot first.

    When it was never downloaded this is the one folder that would hold the snapshots.
    """
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    snapshots = cache / f"models--{repository.replace('/', '--')}" / "snapshots"
    found = [path for path in snapshots.iterdir() if path.is_dir()] if snapshots.is_dir() else []
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True) or [snapshots]


def first_file(candidates: Sequence[Path], *, option: str, fix: str) -> Path:
    """Return the first of the files that exists.

    Raises:
        ModelUnavailable: none does; the message says where they were looked for, and the fix.
    """
    for path in candidates:
        if path.is_file():
            return path
    looked = "".join(f"\n  {path}" for path in candidates)
    raise ModelUnavailable(f"option {option}: the model is not on this machine; {fix}. Looked for:{looked}")
