"""What travellers say: tastes, conversations, searches, calls for help, and requests to be forgotten."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from schemas.events import ErasureRequested, MessageSent, PreferenceStated, SearchPerformed, UrgentRequest
from streams.demo.details import give_details
from streams.demo.diary import between
from streams.demo.messages import Slots, conversation, fill
from streams.demo.newcomers import round_the_corner
from streams.demo.people import Traveller
from streams.demo.phrases import ERASURES, LIKES, PREFERENCES, SEARCHES, URGENT
from streams.demo.setting import Setting
from streams.demo.spots import Spot, spoken_cuisine

SEARCHING = 0.3  # the share of talks that are a search
LONGEST_TALK = timedelta(minutes=12)


def state_preferences(setting: Setting, traveller: Traveller, until: datetime) -> None:
    """Write down the traveller's tastes with their strengths, some other preferences, and a few changes of mind."""
    rng, diary = setting.rng, setting.diary
    for taste, strength in traveller.tastes.items():
        said_at = between(rng, diary.start, until - timedelta(minutes=10))
        sort = "loved" if strength > 0.75 else "liked" if strength > 0 else "disliked"
        text = rng.choice(LIKES[sort]).format(taste=spoken_cuisine(taste))
        text = text[0].upper() + text[1:]
        first = PreferenceStated(
            **diary.stamp(traveller.id, said_at), category="cuisine", value=taste, strength=strength, text=text
        )
        diary.add(first)
        if rng.random() < 0.08:
            changed = round(max(-1.0, min(1.0, strength + rng.uniform(-0.15, 0.15))), 2)
            stamp = diary.stamp(traveller.id, between(rng, said_at + timedelta(minutes=1), until))
            diary.add(PreferenceStated(**stamp, category="cuisine", value=taste, strength=changed))
    if traveller.diet:
        stamp = diary.stamp(traveller.id, between(rng, diary.start, until))
        text = f"I eat {traveller.diet} only."
        diary.add(PreferenceStated(**stamp, category="diet", value=traveller.diet, strength=1.0, text=text))
    if rng.random() < 0.6:
        category, value, text = rng.choice(PREFERENCES)
        stamp = diary.stamp(traveller.id, between(rng, diary.start, until))
        strength = round(rng.uniform(0.3, 1), 2)
        diary.add(PreferenceStated(**stamp, category=category, value=value, strength=strength, text=text))
    if rng.random() < 0.2:
        favourite = _somewhere(setting, traveller)
        stamp = diary.stamp(traveller.id, between(rng, diary.start, until))
        text = f"I love {favourite.spoken}"
        diary.add(PreferenceStated(**stamp, category="place", value=favourite.id, strength=0.9, text=text))


def talk(setting: Setting, people: Sequence[Traveller], events: int) -> None:
    """Write down exactly so many messages and searches of travellers drawn at random."""
    rng, diary = setting.rng, setting.diary
    wanted = len(diary) + events
    while len(diary) < wanted:
        traveller = rng.choice(people)
        at = between(rng, diary.start, diary.now - LONGEST_TALK)
        if rng.random() < SEARCHING:
            _search(setting, traveller, at)
        else:
            converse(setting, traveller, at, rng.choice(people), most=wanted - len(diary))


def converse(setting: Setting, traveller: Traveller, at: datetime, friend: Traveller, most: int = 4) -> None:
    """Write down a conversation of at most `most` messages that begins at `at`; during a trip it belongs to it."""
    rng, diary = setting.rng, setting.diary
    trip = setting.trips.get(traveller.id)
    trip_id = trip.id if trip and trip.planned_at <= at <= trip.ended_at else None
    conversation_id = diary.identity("conversation")
    lines = conversation(rng, traveller, _somewhere(setting, traveller), friend.name.partition(" ")[0])
    for line in lines[:most]:
        diary.add(
            MessageSent(
                **diary.stamp(traveller.id, at),
                conversation_id=conversation_id,
                role=line.role,
                text=line.text,
                intent=line.intent,
                trip_id=trip_id,
            )
        )
        at += timedelta(seconds=rng.uniform(4, 150))


def call_for_help(setting: Setting, traveller: Traveller, at: datetime) -> None:
    """Write down an urgent request from near a place."""
    rng = setting.rng
    spot = _somewhere(setting, traveller)
    category, template = rng.choice(URGENT)
    lat, lon = round_the_corner(rng, spot.lat, spot.lon, degrees=0.001)
    stamp = setting.diary.stamp(traveller.id, at)
    text = fill(template, Slots(rng, traveller, spot))
    setting.diary.add(UrgentRequest(**stamp, category=category, text=text, lat=lat, lon=lon))


def leave_for_good(setting: Setting, traveller: Traveller, friend: Traveller) -> None:
    """Write down all there is of a traveller who then asks to be forgotten: details, tastes, a conversation."""
    rng, diary = setting.rng, setting.diary
    leaves_at = between(rng, diary.start + timedelta(hours=5), diary.now - timedelta(minutes=10))
    give_details(diary, traveller, leaves_at - LONGEST_TALK)
    state_preferences(setting, traveller, leaves_at - timedelta(minutes=1))
    converse(setting, traveller, leaves_at - LONGEST_TALK, friend)
    diary.add(ErasureRequested(**diary.stamp(traveller.id, leaves_at), reason=rng.choice(ERASURES)))


def _search(setting: Setting, traveller: Traveller, at: datetime) -> None:
    rng = setting.rng
    spot = _somewhere(setting, traveller)
    lat, lon = round_the_corner(rng, spot.lat, spot.lon, degrees=0.01) if rng.random() < 0.7 else (None, None)
    query = rng.choice(SEARCHES).format_map(Slots(rng, traveller, spot))
    stamp = setting.diary.stamp(traveller.id, at)
    setting.diary.add(
        SearchPerformed(**stamp, query=query, results=int(rng.paretovariate(0.7)) % 250, lat=lat, lon=lon)
    )


def _somewhere(setting: Setting, traveller: Traveller) -> Spot:
    kind = setting.rng.choice(setting.gazetteer.kinds(traveller.city))
    return setting.gazetteer.pick(setting.rng, traveller.city, kind, traveller.liked)
