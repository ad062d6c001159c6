import io
from random import Random

import pytest
from PIL import Image, ImageChops, ImageStat

from streams.demo.photos import Camera, Shot
from streams.demo.spots import Spot

SORTS = ("museum", "park", "boat", "theatre", "nightclub", "swimmingpool", "architecture", "a sort nobody has drawn")


def spot(kind: str, sort: str = "") -> Spot:
    return Spot(id=f"{kind}-{sort}", name="Somewhere", kind=kind, city="Cambridge", lat=52.2, lon=0.1, sort=sort)


SPOTS = [spot("restaurant"), spot("hotel"), *(spot("attraction", sort) for sort in SORTS)]


def opened(shot: Shot) -> Image.Image:
    image = Image.open(io.BytesIO(shot.data))
    image.load()
    assert Image.MIME[image.format or ""] == shot.content_type
    return image.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    small = [image.resize((24, 18)) for image in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


@pytest.mark.parametrize("seen", SPOTS, ids=lambda seen: f"{seen.kind} {seen.sort}")
def test_a_photo_is_a_small_image_file_of_the_type_it_says(seen: Spot) -> None:
    camera = Camera(Random(1))
    for _ in range(6):
        shot = camera.shoot(seen)
        assert opened(shot).size == (240, 180)
        assert 2_000 < len(shot.data) < 15_000


def test_both_types_of_files_occur() -> None:
    camera = Camera(Random(1))
    assert {camera.shoot(SPOTS[0]).content_type for _ in range(20)} == {"image/png", "image/jpeg"}


def test_a_photo_taken_again_has_other_bytes_and_nearly_the_same_look() -> None:
    camera = Camera(Random(2))
    for seen in SPOTS:
        first, again, another = camera.shoot(seen), camera.shoot(seen, again=True), camera.shoot(seen)
        assert first.data != again.data
        assert difference(opened(first), opened(again)) < 4 < difference(opened(first), opened(another))


def test_scenes_of_one_kind_resemble_each_other_more_than_those_of_two() -> None:
    camera = Camera(Random(3))
    plates, beds = ([opened(camera.shoot(seen)) for _ in range(8)] for seen in SPOTS[:2])
    within = [difference(one, other) for images in (plates, beds) for one in images for other in images if one != other]
    across = [difference(one, other) for one in plates for other in beds]
    assert sum(within) / len(within) < sum(across) / len(across)


def test_a_first_photo_cannot_be_a_repetition() -> None:
    assert opened(Camera(Random(1)).shoot(SPOTS[0], again=True)).size == (240, 180)


def test_the_same_dice_give_the_same_bytes() -> None:
    one, other = Camera(Random(4)), Camera(Random(4))
    assert [one.shoot(seen) for seen in SPOTS] == [other.shoot(seen) for seen in SPOTS]
