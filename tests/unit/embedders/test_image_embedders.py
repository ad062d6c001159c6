import io
import struct
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from connectors.embedders import ImageError, ModelUnavailable, Vector, image_embedder
from connectors.embedders.perceptual import PerceptualEmbedder

EMBEDDER = PerceptualEmbedder()


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture with the smooth surfaces and edges of a photo, another one for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.blend(coarse, fine, 0.25)


def png(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def jpeg(image: Image.Image, quality: int = 90, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def vector(data: bytes) -> Vector:
    outcome = EMBEDDER.embed([data])[0]
    assert not isinstance(outcome, ImageError), outcome
    return outcome


def reason(data: bytes) -> str:
    outcome = EMBEDDER.embed([data])[0]
    assert isinstance(outcome, ImageError)
    return outcome.reason


seeds = st.integers(0, 10_000)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(48, 640), st.integers(48, 480), st.integers(30, 95), st.floats(0.88, 1.12))
def test_a_resized_recompressed_slightly_brighter_copy_is_near(
    seed: int, width: int, height: int, quality: int, brightness: float
) -> None:
    original = picture(seed)
    copy = ImageEnhance.Brightness(original.resize((width, height))).enhance(brightness)

    assert vector(png(original)) @ vector(jpeg(copy, quality)) > 0.9


@settings(max_examples=20, deadline=None)
@given(seeds, seeds)
def test_different_pictures_are_far(one: int, other: int) -> None:
    near = vector(png(picture(one, (160, 120)))) @ vector(png(picture(other, (160, 120))))

    assert near > 0.999 if one == other else near < 0.7


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=3, max_size=48 * 3), st.integers(1, 6))
def test_any_picture_gives_a_unit_vector(pixels: bytes, width: int) -> None:
    height = max(1, len(pixels) // 3 // width)
    image = Image.frombytes("RGB", (width, height), pixels.ljust(width * height * 3, b"\0")[: width * height * 3])

    found = vector(png(image))

    assert found.shape == (EMBEDDER.dimension,)
    assert found.dtype == np.float32
    assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-5)


def test_even_surfaces_are_told_apart_by_their_colour() -> None:
    red, red_jpeg, blue = (
        vector(png(Image.new("RGB", (80, 60), (200, 30, 30)))),
        vector(jpeg(Image.new("RGB", (80, 60), (200, 30, 30)), 40)),
        vector(png(Image.new("RGB", (80, 60), (30, 30, 200)))),
    )

    assert red @ red_jpeg > 0.9
    assert red @ blue < 0.5


def test_a_rotated_photo_is_seen_as_it_is_meant_to_be() -> None:
    upright = picture(3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    turned = jpeg(upright.transpose(Image.Transpose.ROTATE_90), 95, exif=exif)

    assert vector(png(upright)) @ vector(turned) > 0.95


def test_grey_palette_and_16_bit_files_are_the_same_picture() -> None:
    grey = picture(4).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    expected = vector(png(grey))

    assert vector(png(deep)) @ expected > 0.99
    assert vector(png(grey.convert("P"))) @ expected > 0.99


def test_what_is_transparent_does_not_show() -> None:
    hidden = picture(5).convert("RGBA")
    hidden.putalpha(0)

    assert vector(png(hidden)) @ vector(png(Image.new("RGB", hidden.size, "white"))) > 0.999


def test_a_broken_file_stops_no_other() -> None:
    whole = jpeg(picture(6))

    first, broken, last = EMBEDDER.embed([whole, whole[: len(whole) // 2], whole])

    assert isinstance(broken, ImageError)
    assert np.array_equal(np.asarray(first), np.asarray(last))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["PNG", "JPEG"]), st.data())
def test_damaged_bytes_have_an_outcome_and_raise_nothing(kind: str, data: st.DataObject) -> None:
    small = picture(7, (64, 48))
    whole = bytearray(png(small) if kind == "PNG" else jpeg(small))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))

    outcome = EMBEDDER.embed([bytes(whole[:cut])])[0]

    assert isinstance(outcome, ImageError) or np.linalg.norm(outcome) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", b"GIF89a" + bytes(20), b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
def test_bytes_of_another_kind_are_no_picture(data: bytes) -> None:
    assert reason(data)


def test_a_gif_is_refused_by_its_content() -> None:
    out = io.BytesIO()
    picture(8, (20, 20)).save(out, "GIF")

    assert reason(out.getvalue()) == "neither PNG nor JPEG"


@pytest.mark.parametrize("side", [7_000, 12_000, 60_000])
def test_a_small_file_that_claims_to_be_huge_is_not_decoded(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        bomb += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    assert "pixels" in reason(bomb)


def test_the_revision_stands_for_the_formula() -> None:
    """When this fails the vectors of old and new no longer compare: raise the number in `model`, then renew these."""
    shape = np.add.outer(np.arange(48) * 2, np.arange(64) * 2)
    image = Image.fromarray(np.stack([shape, shape[::-1], 255 - shape], axis=2).astype(np.uint8))

    found = vector(png(image))

    assert EMBEDDER.model == "perceptual@1"
    assert found[[0, 2, 10, 138, 142, 161, 248, 251]].tolist() == pytest.approx(
        [-0.72, -0.138, 0.281, 0.109, 0.224, 0.162, 0.107, 0.125], abs=2e-3
    )


def test_clip_without_its_library_names_option_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)

    with pytest.raises(ModelUnavailable, match=r"embed\.image_model = clip.*\[clip\]"):
        image_embedder("clip", 10)


def test_clip_without_its_weights_says_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("open_clip", "torch"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setenv("TRAVELOS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    with pytest.raises(ModelUnavailable) as error:
        image_embedder("clip", 10)

    assert str(tmp_path / "models" / "ViT-B-32" / "open_clip_model.safetensors") in str(error.value)


def test_the_default_remembers_photos() -> None:
    embedder = image_embedder("perceptual", 10)
    data = png(picture(9))

    embedder.embed([data, data])

    assert (embedder.hits, embedder.misses) == (1, 1)
