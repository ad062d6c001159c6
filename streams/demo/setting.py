"""What all stories share, and the smallest of them: a visit to a place."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from schemas.events import PhotoTaken, PlaceReviewed, PlaceVisited
from streams.demo.diary import Diary, between
from streams.demo.messages import Slots, fill
from streams.demo.newcomers import round_the_corner
from streams.demo.people import Traveller
from streams.demo.photos import Camera
from streams.demo.phrases import REVIEWS
from streams.demo.spots import Gazetteer, Spot

REVIEWED = 0.4  # the share of visits that are reviewed
PHOTOGRAPHED = 0.16
TAKEN_TWICE = 0.12  # the share of photos that are taken again at once
ELSEWHERE = 0.12  # the share of photos whose bytes lie in a bucket already


@dataclass
class Trip:
    """A trip as far as other stories need it."""

    id: str
    planned_at: datetime
    ended_at: datetime


@dataclass
class Setting:
    """The dice, the diary and the map; how many photos may still be taken; and each traveller's trip."""

    rng: Random
    diary: Diary
    gazetteer: Gazetteer
    camera: Camera
    photos_left: int
    trips: dict[str, Trip] = field(default_factory=dict[str, Trip])


def visit(setting: Setting, traveller: Traveller, spot: Spot, left_at: datetime, minutes: int) -> None:
    """Write down a visit that ended at `left_at`, with the photos taken meanwhile and the review after it."""
    rng, diary = setting.rng, setting.diary
    if setting.photos_left > 0 and rng.random() < PHOTOGRAPHED:
        take_photo(setting, traveller, spot, between(rng, left_at - timedelta(minutes=minutes), left_at))
    rating = _rating(rng, traveller, spot)
    diary.add(
        PlaceVisited(
            **diary.stamp(traveller.id, left_at),
            place_id=spot.id,
            rating=rating if rng.random() < 0.85 else None,
            would_return=rating >= 4 if rng.random() < 0.8 else None,
            minutes=minutes,
        )
    )
    reviewed_at = left_at + timedelta(minutes=rng.uniform(2, 25))
    if rng.random() < REVIEWED and reviewed_at < diary.now:
        review(setting, traveller, spot, reviewed_at, rating)


def review(setting: Setting, traveller: Traveller, spot: Spot, at: datetime, rating: int | None = None) -> None:
    """Write down a review; it sounds as good as its rating."""
    rng = setting.rng
    rating = rating or _rating(rng, traveller, spot)
    opinion = "good" if rating >= 4 else "fair" if rating == 3 else "poor"
    templates = [text for text in REVIEWS[opinion] if spot.cuisine or "{cuisine}" not in text]
    text = fill(rng.choice(templates), Slots(rng, traveller, spot))
    stamp = setting.diary.stamp(traveller.id, at)
    setting.diary.add(PlaceReviewed(**stamp, place_id=spot.id, rating=rating, text=text))


def take_photo(setting: Setting, traveller: Traveller, spot: Spot, at: datetime) -> None:
    """Write down a photo of a place, sometimes followed by nearly the same one."""
    rng, diary = setting.rng, setting.diary
    for take in range(2 if rng.random() < TAKEN_TWICE else 1):
        setting.photos_left -= 1
        photo_id = diary.identity("photo")
        stamp = diary.stamp(traveller.id, at + timedelta(seconds=take))
        lat, lon = round_the_corner(rng, spot.lat, spot.lon, degrees=0.0003)
        if take == 0 and rng.random() < ELSEWHERE:
            photo = PhotoTaken(
                **stamp,
                photo_id=photo_id,
                content_type="image/jpeg",
                object_uri=f"s3://travel-photos/{traveller.id}/{photo_id}.jpg",
                place_id=spot.id,
                lat=lat,
                lon=lon,
            )
        else:
            shot = setting.camera.shoot(spot, again=take > 0)
            photo = PhotoTaken(
                **stamp,
                photo_id=photo_id,
                content_type=shot.content_type,
                data=shot.data,
                place_id=spot.id,
                lat=lat,
                lon=lon,
            )
        diary.add(photo)


def _rating(rng: Random, traveller: Traveller, spot: Spot) -> int:
    """Return 1 to 5: what somebody likes, they rate higher."""
    strength = traveller.tastes.get(spot.cuisine or "", 0.3)
    return max(1, min(5, round(3.2 + 1.6 * strength + rng.gauss(0, 0.8))))
