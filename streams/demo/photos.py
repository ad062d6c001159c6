"""Photos of places as real PNG and JPEG files."""

import io
from random import Random
from typing import Literal, NamedTuple

from PIL import Image

from streams.demo.scenes import draw_scene
from streams.demo.spots import Spot

ContentType = Literal["image/png", "image/jpeg"]


class Shot(NamedTuple):
    """A photo's bytes and what they are."""

    content_type: ContentType
    data: bytes


class Camera:
    """Takes photos; the same random numbers give the same bytes (with the same release of Pillow)."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._last: dict[str, Image.Image] = {}

    def shoot(self, spot: Spot, *, again: bool = False) -> Shot:
        """Return a photo of a place: mostly JPEG, some PNG.

        Args:
            spot: decides what is seen.
            again: the scene of the last photo of this place, saved with another quality: a near-duplicate. A new
                scene when there is no such photo.
        """
        known = self._last.get(spot.id) if again else None
        image = known or draw_scene(_seen_at(spot), self._rng)
        self._last[spot.id] = image
        if known is None and self._rng.random() < 0.3:
            return Shot("image/png", _saved(image.quantize(48), "PNG"))
        return Shot("image/jpeg", _saved(image, "JPEG", quality=self._rng.randint(60, 75) if known else 86))


def _seen_at(spot: Spot) -> str:
    return spot.sort if spot.kind == "attraction" and spot.sort else spot.kind


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()
