"""The contract between the pipeline and a model that turns text or images into vectors.

A vector is float32, of the embedder's `dimension`, of length 1 and without NaN, whatever the input was: the cosine of
two vectors is their dot product. The same content gives the same vector, alone or in any batch (to the rounding of
float32), so that a replay writes what was written before. An embedder is called from one thread at a time and never
reaches for the network.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Vector = npt.NDArray[np.float32]

_UNIT = 1e-3  # how far the length of a vector may be from 1


class ImageError(Struct, frozen=True):
    """Bytes that are no picture this project reads; the reason is fit for a person. An outcome, not an exception."""

    reason: str


class ModelUnavailable(RuntimeError):  # noqa: N818 - reads as a state, which it is
    """A model cannot be used here: its library or its files are missing. The message names the option and the fix."""


class TextEmbedder(Protocol):
    """A model that turns texts into vectors."""

    @property
    def model(self) -> str:
        """Name and revision, "<name>@<revision>". Two embedders of one name give the same vectors for the same text."""
        ...

    @property
    def dimension(self) -> int:
        """Length of every vector; constant."""
        ...

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return an array of shape (len(texts), dimension), a row for each text in order.

        A text the model finds nothing in (empty, or outside its vocabulary) gets the vector of `no_meaning`.
        """
        ...


class ImageEmbedder(Protocol):
    """A model that turns pictures into vectors."""

    @property
    def model(self) -> str:
        """Name and revision, "<name>@<revision>"."""
        ...

    @property
    def dimension(self) -> int:
        """Length of every vector; constant."""
        ...

    def embed(self, images: Sequence[bytes]) -> list[Vector | ImageError]:
        """Return one outcome for each file (PNG or JPEG), in order: its vector, or why it has none."""
        ...


def no_meaning(dimension: int) -> Vector:
    """Return the vector of an input that says nothing: the first axis, since a vector of zeros has no direction."""
    vector = np.zeros(dimension, dtype=np.float32)
    vector[0] = 1.0
    return vector


def unit_rows(rows: npt.NDArray[Any]) -> Vector:
    """Return the rows as float32 of length 1; rows without a direction (zeros, not finite) become `no_meaning`.

    Args:
        rows: array of shape (n, dimension).
    """
    wide = np.asarray(rows, dtype=np.float64)  # a float32 square overflows from 1.8e19 on
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    lost = ~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 1e-12))
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = (wide / lengths).astype(np.float32)
    unit[lost] = no_meaning(wide.shape[1])
    return unit


def encodable(text: str) -> str:
    """Return the text with a question mark for each half of a surrogate pair, which tokenizers refuse."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def to_bytes(vector: Vector) -> bytes:
    """Return a vector as `VectorWrite.values` holds it: float32, little endian.

    Raises:
        ValueError: it is not one row of length 1.
    """
    if vector.ndim != 1 or not abs(float(np.linalg.norm(vector)) - 1.0) < _UNIT:
        raise ValueError(f"Expected one vector of length 1, got shape {vector.shape}")
    return vector.astype("<f4", copy=False).tobytes()
