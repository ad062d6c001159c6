"""Embed: the meaning of texts and the looks of photos, one call of each model for a batch."""

from collections.abc import Sequence

import structlog

from connectors.embedders import ImageEmbedder, ImageError, TextEmbedder, to_bytes
from connectors.embedders import Vector as Row
from streams.enrichment.joins import Enriched
from streams.routing.meaning import Embedded, Vector, image_of, text_of

log = structlog.get_logger(__name__)


class Embedders:
    """The models in use."""

    def __init__(self, text: TextEmbedder, image: ImageEmbedder) -> None:
        self._text = text
        self._image = image
        self.kept = 0  # texts so far that had their vector already

    @property
    def text_model(self) -> str:
        """Name and revision of the model of texts."""
        return self._text.model

    def texts(self, texts: Sequence[str | None]) -> list[Vector | None]:
        """Return a vector for each text, None for None."""
        wanted = [text for text in texts if text is not None]
        rows = iter(self._text.embed(wanted)) if wanted else iter(())
        return [None if text is None else Vector(to_bytes(next(rows)), self._text.model) for text in texts]

    def texts_but(self, texts: Sequence[str | None], kept: Sequence[bytes | None]) -> list[Vector | None]:
        """Return a vector for each text, None for None; the model is not asked where this one's vector was kept."""
        made = self.texts([text if values is None else None for text, values in zip(texts, kept, strict=True)])
        self.kept += sum(values is not None for values in kept)
        return [new if old is None else Vector(old, self._text.model) for new, old in zip(made, kept, strict=True)]

    def images(self, images: Sequence[bytes | None]) -> list[Vector | None]:
        """Return a vector for each picture; None for None, and for bytes that are no picture."""
        wanted = [image for image in images if image is not None]
        outcomes = iter(self._image.embed(wanted)) if wanted else iter(())
        return [None if image is None else self._vector(next(outcomes)) for image in images]

    def _vector(self, outcome: Row | ImageError) -> Vector | None:
        if isinstance(outcome, ImageError):
            # The photo itself is stored all the same; only what it looks like stays unknown.
            log.warning("photo_not_readable", reason=outcome.reason)
            return None
        return Vector(to_bytes(outcome), self._image.model)


def embed(batch: Sequence[Enriched], embedders: Embedders) -> list[Embedded]:
    """Return the batch with the vector of each event that has a meaning."""
    texts = embedders.texts([text_of(one.event) for one in batch])
    images = embedders.images([image_of(one.event) for one in batch])
    return [Embedded(one, text or image) for one, text, image in zip(batch, texts, images, strict=True)]
