"""Embedders that remember: the same content is not embedded twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from connectors.embedders.contract import ImageEmbedder, ImageError, TextEmbedder, Vector

_HASH_BYTES = 16

V = TypeVar("V")
C = TypeVar("C", str, bytes)
E = TypeVar("E", TextEmbedder, ImageEmbedder)


class _Memory(Generic[V]):
    """The most recently used values, at most `entries`, by (model, BLAKE2b-128 of the content)."""

    def __init__(self, model: str, entries: int) -> None:
        if entries < 0:
            raise ValueError(f"option `embed.cache_entries` must be 0 or more, got {entries}")
        self._values: OrderedDict[tuple[str, bytes], V] = OrderedDict()
        self._model = model
        self._entries = entries
        self.hits = 0
        self.misses = 0

    def of(self, contents: Sequence[C], as_bytes: Callable[[C], bytes], make: Callable[[list[C]], list[V]]) -> list[V]:
        """Return a value for each content; those not remembered are made, each once, in a single call of `make`."""
        keys = [(self._model, _hash(as_bytes(content))) for content in contents]
        found: dict[tuple[str, bytes], V] = {}
        missing: dict[tuple[str, bytes], C] = {}
        for key, content in zip(keys, contents, strict=True):
            if key in found or key in missing:
                continue
            if key in self._values:
                found[key] = self._values[key]
                self._values.move_to_end(key)
            else:
                missing[key] = content
        if missing:
            found.update(zip(missing, make(list(missing.values())), strict=True))
        self.hits += len(keys) - len(missing)
        self.misses += len(missing)
        self._values.update((key, found[key]) for key in missing)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)
        return [found[key] for key in keys]


class _Cached(Generic[E, V]):
    """An embedder in front of another one, which it asks only for what it does not remember.

    `misses` counts the contents that reached the model, `hits` those that did not, repeats within a batch among them. A
    call that the model fails leaves nothing behind.
    """

    def __init__(self, embedder: E, entries: int) -> None:
        self._embedder = embedder
        self._memory: _Memory[V] = _Memory(embedder.model, entries)

    @property
    def model(self) -> str:
        """That of the embedder behind."""
        return self._embedder.model

    @property
    def dimension(self) -> int:
        """That of the embedder behind."""
        return self._embedder.dimension

    @property
    def hits(self) -> int:
        """Contents answered without the model so far."""
        return self._memory.hits

    @property
    def misses(self) -> int:
        """Contents the model was asked for so far."""
        return self._memory.misses


class CachedTextEmbedder(_Cached[TextEmbedder, Vector]):
    """A text embedder in front of another one."""

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return an array of shape (len(texts), dimension), with at most one call of the model."""
        rows = self._memory.of(texts, _text_bytes, lambda missing: [_own(row) for row in self._embedder.embed(missing)])
        return np.stack(rows) if rows else np.empty((0, self.dimension), dtype=np.float32)


class CachedImageEmbedder(_Cached[ImageEmbedder, Vector | ImageError]):
    """An image embedder in front of another one; what is wrong with broken files is remembered too.

    Vectors are shared between callers and cannot be written to.
    """

    def embed(self, images: Sequence[bytes]) -> list[Vector | ImageError]:
        """Return one outcome for each file in order, with at most one call of the model."""
        return self._memory.of(
            images,
            bytes,
            lambda missing: [
                outcome if isinstance(outcome, ImageError) else _own(outcome)
                for outcome in self._embedder.embed(missing)
            ],
        )


def text_hash(text: str) -> bytes:
    """Return what a text is remembered by: BLAKE2b-128."""
    return _hash(_text_bytes(text))


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


def _text_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _own(row: Vector) -> Vector:
    """Return a copy: a view would keep its whole batch in memory."""
    row = row.copy()
    row.flags.writeable = False
    return row
