"""Drawn scenes for photos: what is seen depends on the kind of place, how it looks on the dice.

Two photos of the same kind of place resemble each other more than photos of different kinds, which is all that an
image embedding needs to show what it can.
"""

from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

SIZE = (240, 180)
Colour = tuple[int, int, int]
Draw = ImageDraw.ImageDraw

_SKIES: list[tuple[Colour, Colour]] = [
    ((92, 148, 220), (206, 226, 244)),
    ((244, 178, 110), (250, 226, 190)),
    ((150, 160, 172), (214, 218, 222)),
]
_NIGHT: tuple[Colour, Colour] = ((12, 14, 40), (48, 40, 92))
_FOOD: list[Colour] = [(196, 72, 48), (222, 176, 72), (120, 160, 68), (236, 214, 170), (150, 84, 52), (240, 130, 120)]
_STONE: list[Colour] = [(214, 196, 160), (190, 178, 160), (200, 170, 140)]


def draw_scene(kind: str, rng: Random) -> Image.Image:
    """Return a scene of SIZE for "restaurant", "hotel", or what an attraction is ("museum", "park", "boat", ...)."""
    sky = rng.choice(_SKIES)
    scene = _SCENES.get(kind, _building)
    if scene is _club:
        sky = _NIGHT
    image = _gradient(*sky)
    scene(ImageDraw.Draw(image), rng)
    return _with_grain(image, rng)


def _gradient(top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, SIZE[1]))
    last = SIZE[1] - 1
    for y in range(SIZE[1]):
        red, green, blue = (a + (b - a) * y // last for a, b in zip(top, bottom, strict=True))
        column.putpixel((0, y), (red, green, blue))
    return column.resize(SIZE)


def _with_grain(image: Image.Image, rng: Random) -> Image.Image:
    """Return the image with the uneven light that every camera sees: a few large, soft spots."""
    spots = Image.frombytes("L", (12, 9), rng.randbytes(12 * 9)).resize(SIZE, Image.Resampling.BICUBIC)
    return Image.blend(image, Image.merge("RGB", (spots, spots, spots)), 0.10)


def _table(draw: Draw, rng: Random) -> None:
    wood = rng.choice([(120, 78, 46), (158, 112, 70), (86, 58, 40)])
    draw.rectangle((0, 0, *SIZE), fill=wood)
    for y in range(0, SIZE[1], rng.randint(16, 28)):
        draw.line((0, y, SIZE[0], y + 3), fill=_shade(wood, -14), width=2)
    x, y, radius = 120 + rng.randint(-25, 25), 92 + rng.randint(-15, 15), rng.randint(56, 72)
    draw.ellipse(_circle(x, y, radius), fill=(244, 242, 236))
    draw.ellipse(_circle(x, y, radius - 12), fill=(230, 228, 220))
    for _ in range(rng.randint(7, 16)):
        colour = _shade(rng.choice(_FOOD), rng.randint(-20, 20))
        draw.ellipse(_circle(x + rng.randint(-30, 30), y + rng.randint(-30, 30), rng.randint(6, 15)), fill=colour)
    draw.rectangle((x + radius + 8, 40, x + radius + 13, 150), fill=(200, 204, 210))
    draw.rectangle((x - radius - 14, 40, x - radius - 9, 150), fill=(200, 204, 210))


def _room(draw: Draw, rng: Random) -> None:
    wall = rng.choice([(226, 214, 196), (190, 206, 214), (216, 196, 200)])
    draw.rectangle((0, 0, SIZE[0], 125), fill=wall)
    draw.rectangle((0, 125, *SIZE), fill=_shade(wall, -80))
    left = rng.randint(16, 40)
    draw.rectangle((left, 18, left + 62, 84), fill=rng.choice(_SKIES)[0], outline=(250, 250, 250), width=4)
    draw.line((left + 31, 18, left + 31, 84), fill=(250, 250, 250), width=3)
    blanket = rng.choice([(150, 40, 52), (44, 84, 140), (60, 112, 84)])
    x = rng.randint(96, 116)
    draw.rectangle((x, 60, x + 118, 108), fill=(104, 70, 46))
    draw.rectangle((x, 92, x + 118, 150), fill=blanket)
    draw.rounded_rectangle((x + 8, 84, x + 52, 104), 7, fill=(248, 248, 244))
    draw.rounded_rectangle((x + 62, 84, x + 108, 104), 7, fill=(248, 248, 244))
    draw.ellipse(_circle(x - 12, 78, 11), fill=(252, 236, 170))


def _building(draw: Draw, rng: Random) -> None:
    stone = rng.choice(_STONE)
    top, left = rng.randint(52, 68), rng.randint(18, 34)
    right = SIZE[0] - left
    draw.rectangle((0, 146, *SIZE), fill=(126, 140, 92))
    draw.rectangle((left, top, right, 150), fill=stone)
    draw.polygon(
        ((left - 8, top), (right + 8, top), (SIZE[0] // 2, top - rng.randint(22, 40))), fill=_shade(stone, -24)
    )
    columns = rng.randint(5, 8)
    for number in range(columns):
        x = left + 10 + number * (right - left - 20) // max(columns - 1, 1)
        draw.rectangle((x - 5, top + 8, x + 5, 150), fill=_shade(stone, 26))
        draw.rectangle((x - 8, top + 4, x + 8, top + 10), fill=_shade(stone, -14))
    draw.rectangle((left - 10, 148, right + 10, 156), fill=_shade(stone, -34))


def _church(draw: Draw, rng: Random) -> None:
    stone = rng.choice(_STONE)
    draw.rectangle((0, 142, *SIZE), fill=(110, 132, 84))
    x = rng.randint(84, 120)
    draw.rectangle((x, 40, x + 42, 148), fill=stone)
    draw.polygon(((x - 4, 40), (x + 46, 40), (x + 21, rng.randint(2, 14))), fill=(84, 88, 100))
    draw.rectangle((x + 42, 84, x + 118, 148), fill=_shade(stone, -14))
    draw.polygon(((x + 42, 84), (x + 118, 84), (x + 108, 60), (x + 42, 60)), fill=(96, 98, 108))
    for number in range(3):
        draw.pieslice((x + 52 + number * 22, 96, x + 66 + number * 22, 132), 180, 360, fill=(52, 60, 90))
    draw.rectangle((x + 15, 112, x + 28, 148), fill=(70, 46, 32))


def _park(draw: Draw, rng: Random) -> None:
    draw.rectangle((0, 96, *SIZE), fill=rng.choice([(104, 158, 72), (128, 168, 84), (88, 142, 66)]))
    draw.polygon(((100, 180), (150, 180), (128, 96), (122, 96)), fill=(206, 190, 150))
    for _ in range(rng.randint(5, 9)):
        x, size = rng.randint(8, SIZE[0] - 8), rng.randint(16, 32)
        ground = 96 + size
        draw.rectangle((x - 3, ground - size, x + 3, ground), fill=(88, 62, 42))
        draw.ellipse(_circle(x, ground - size - 8, size), fill=_shade((58, 118, 52), rng.randint(-18, 30)))


def _river(draw: Draw, rng: Random) -> None:
    draw.rectangle((0, 70, SIZE[0], 92), fill=(86, 134, 70))
    draw.rectangle((0, 90, *SIZE), fill=rng.choice([(58, 116, 150), (74, 128, 140), (50, 100, 128)]))
    for _ in range(26):
        x, y = rng.randint(0, SIZE[0]), rng.randint(96, SIZE[1])
        draw.line((x, y, x + rng.randint(10, 34), y), fill=(150, 190, 208), width=1)
    x, y = rng.randint(40, 110), rng.randint(112, 138)
    draw.polygon(((x, y), (x + 92, y), (x + 80, y + 18), (x + 12, y + 18)), fill=(120, 72, 40))
    for seat in range(rng.randint(1, 4)):
        draw.ellipse(_circle(x + 24 + seat * 16, y - 8, 6), fill=(226, 180, 150))
        draw.rectangle((x + 18 + seat * 16, y - 3, x + 30 + seat * 16, y + 4), fill=rng.choice(_FOOD))


def _club(draw: Draw, rng: Random) -> None:
    for _ in range(rng.randint(6, 11)):
        x = rng.randint(0, SIZE[0])
        beam = rng.choice([(220, 40, 160), (60, 200, 240), (250, 220, 60), (120, 80, 250)])
        draw.polygon(((x, 0), (x + rng.randint(-90, 0), 180), (x + rng.randint(0, 90), 180)), fill=_shade(beam, -90))
        draw.ellipse(_circle(x, 8, 7), fill=beam)
    for x in range(-4, SIZE[0], rng.randint(18, 26)):
        draw.ellipse(_circle(x, rng.randint(140, 152), 12), fill=(8, 8, 20))
        draw.rectangle((x - 14, 156, x + 14, 180), fill=(8, 8, 20))


def _stage(draw: Draw, rng: Random) -> None:
    draw.rectangle((0, 0, *SIZE), fill=(36, 16, 22))
    light = rng.randint(70, 170)
    draw.polygon(((light, 0), (light - 52, 150), (light + 52, 150)), fill=(226, 206, 150))
    draw.rectangle((0, 128, *SIZE), fill=(110, 70, 44))
    red = rng.choice([(150, 20, 36), (110, 16, 60), (30, 40, 110)])
    for x in (*range(0, 52, 13), *range(188, SIZE[0], 13)):
        draw.rectangle((x, 0, x + 12, 140), fill=_shade(red, -24 if x % 2 else 10))
    draw.ellipse(_circle(light, 92, 9), fill=(60, 40, 40))
    draw.rectangle((light - 9, 101, light + 9, 136), fill=(30, 30, 60))


def _pool(draw: Draw, rng: Random) -> None:
    draw.rectangle((0, 0, *SIZE), fill=(214, 226, 228))
    top = rng.randint(40, 60)
    draw.polygon(((40, top), (200, top), (236, 176), (4, 176)), fill=(60, 176, 214))
    for lane in range(1, 5):
        draw.line((40 + 32 * lane, top, 4 + 46 * lane, 176), fill=(232, 70, 60), width=2)
    for _ in range(rng.randint(2, 6)):
        draw.ellipse(_circle(rng.randint(40, 200), rng.randint(top + 14, 164), 6), fill=(226, 180, 150))


def _circle(x: int, y: int, radius: int) -> tuple[int, int, int, int]:
    return x - radius, y - radius, x + radius, y + radius


def _shade(colour: Colour, by: int) -> Colour:
    red, green, blue = (min(255, max(0, part + by)) for part in colour)
    return red, green, blue


_SCENES: dict[str, Callable[[Draw, Random], None]] = {
    "restaurant": _table,
    "hotel": _room,
    "architecture": _church,
    "park": _park,
    "boat": _river,
    "nightclub": _club,
    "entertainment": _club,
    "theatre": _stage,
    "cinema": _stage,
    "concerthall": _stage,
    "swimmingpool": _pool,
}
