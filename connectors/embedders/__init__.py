"""Text and images as vectors: the contract, the models behind it, and a cache in front of them."""

from connectors.embedders.cache import CachedImageEmbedder, CachedTextEmbedder, text_hash
from connectors.embedders.contract import ImageEmbedder, ImageError, ModelUnavailable, TextEmbedder, Vector, to_bytes
from connectors.embedders.factory import image_embedder, text_embedder

__all__ = [
    "CachedImageEmbedder",
    "CachedTextEmbedder",
    "ImageEmbedder",
    "ImageError",
    "ModelUnavailable",
    "TextEmbedder",
    "Vector",
    "image_embedder",
    "text_embedder",
    "text_hash",
    "to_bytes",
]
