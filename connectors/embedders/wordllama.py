# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Text embeddings without a download: WordLlama's static token vectors, averaged.

The weights and the tokenizer come with the `wordllama` package. The average is taken here and not by the library,
which pads a batch to its longest text: one message of 32,768 emoji among 64 would take 8 GB. Without padding it is
also nearly twice as fast.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from connectors.embedders.contract import Vector, encodable, unit_rows
from connectors.embedders.models import first_file, revision

_CONFIG = "l2_supercat"
_DIMENSION = 256
_TEXTS = 256  # tokenised at once
_TOKENS = 4_096  # looked up at once: 4 MB


class WordLlamaEmbedder:
    """256 numbers a text; loads in 0.2 s, then 20,000 to 40,000 short messages a second on two cores.

    Raises:
        ModelUnavailable: the package lacks its weights.
    """

    dimension = _DIMENSION

    def __init__(self) -> None:
        with _root_logger_kept():
            import wordllama  # noqa: PLC0415 - 0.2 s, and it configures logging
        folder = Path(wordllama.__file__).parent
        # A missing tokenizer would be fetched from the network, whatever `disable_download` says.
        files = [
            first_file([folder / file], option="embed.text_model = wordllama", fix="reinstall `wordllama`")
            for file in (f"weights/{_CONFIG}_{_DIMENSION}.safetensors", f"tokenizers/{_CONFIG}_tokenizer_config.json")
        ]
        self.model = f"wordllama-{_CONFIG}@{revision(files)}"
        # Without `cache_dir` it looks for them in ~/.cache.
        model = wordllama.WordLlama.load(_CONFIG, cache_dir=folder, dim=_DIMENSION, disable_download=True)
        self._vectors: Vector = model.embedding
        self._tokenizer: Any = model.tokenizer
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return an array of shape (len(texts), 256)."""
        sums = np.zeros((len(texts), _DIMENSION), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS):
            chunk = [encodable(text) for text in texts[start : start + _TEXTS]]
            for row, encoding in enumerate(self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False), start):
                tokens: list[int] = encoding.ids
                for first in range(0, len(tokens), _TOKENS):
                    sums[row] += self._vectors[tokens[first : first + _TOKENS]].sum(axis=0)
        return unit_rows(sums)


@contextmanager
def _root_logger_kept() -> Generator[None]:
    """Undo the `logging.basicConfig` that the library calls when it is imported: logs are the application's matter."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
