"""Read the bytes of a photo as a picture in RGB, or say what is wrong with them."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from connectors.embedders.contract import ImageError

MAX_PIXELS = 40_000_000  # 120 MB as RGB; a few hundred bytes of PNG can claim 10,000 times as much
FORMATS = ("PNG", "JPEG")


def open_picture(data: bytes, side: int) -> Image.Image | ImageError:
    """Return the picture upright, in RGB, its transparent parts white; of several frames the first.

    Args:
        data: a PNG or JPEG file, whatever it is called.
        side: a JPEG larger than this in both directions may be decoded at 1/2, 1/4 or 1/8 of its size, not below it.
    """
    try:
        with warnings.catch_warnings():
            # Of big pictures and of damaged EXIF data Pillow also warns; here the outcome says what matters.
            warnings.simplefilter("ignore")
            return _decode(data, side)
    except Image.UnidentifiedImageError:
        return ImageError("neither PNG nor JPEG")
    except Image.DecompressionBombError as error:
        return ImageError(str(error))
    except Exception as error:  # noqa: BLE001 - broken files raise SyntaxError, KeyError, struct.error and more in Pillow
        return ImageError(f"broken file: {error or type(error).__name__}")


def _decode(data: bytes, side: int) -> Image.Image | ImageError:
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        return ImageError(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    picture.draft("RGB", (side, side))
    picture.load()
    return _rgb(ImageOps.exif_transpose(picture))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to white
        picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return picture.convert("RGB")
