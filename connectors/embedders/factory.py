"""The embedders by the names that the options know them by. A model's library is imported when it is asked for."""

from typing import Literal

from connectors.embedders.cache import CachedImageEmbedder, CachedTextEmbedder
from connectors.embedders.contract import ImageEmbedder, TextEmbedder

TextModel = Literal["wordllama", "sentence-transformers"]
ImageModel = Literal["perceptual", "clip"]


def text_embedder(name: TextModel, cache_entries: int) -> CachedTextEmbedder:
    """Return a text embedder that remembers its last `cache_entries` vectors; 0 remembers none between calls.

    Raises:
        ModelUnavailable: its library or its files are missing here; names the option and the fix.
    """
    return CachedTextEmbedder(_text_model(name), cache_entries)


def image_embedder(name: ImageModel, cache_entries: int) -> CachedImageEmbedder:
    """Return an image embedder that remembers its last `cache_entries` outcomes; 0 remembers none between calls.

    Raises:
        ModelUnavailable: its library or its files are missing here; names the option and the fix.
    """
    return CachedImageEmbedder(_image_model(name), cache_entries)


def _text_model(name: TextModel) -> TextEmbedder:
    if name == "sentence-transformers":
        from connectors.embedders.sentence_transformers import SentenceTransformerEmbedder  # noqa: PLC0415

        return SentenceTransformerEmbedder()
    from connectors.embedders.wordllama import WordLlamaEmbedder  # noqa: PLC0415

    return WordLlamaEmbedder()


def _image_model(name: ImageModel) -> ImageEmbedder:
    if name == "clip":
        from connectors.embedders.clip import ClipEmbedder  # noqa: PLC0415

        return ClipEmbedder()
    from connectors.embedders.perceptual import PerceptualEmbedder  # noqa: PLC0415

    return PerceptualEmbedder()
