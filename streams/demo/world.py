"""The whole input of the demo, from a seed: tables, travellers, what they do, where they go, and what goes wrong."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec import Struct

from schemas.changes import PlaceRow, RestaurantRow
from schemas.events import Event, FriendAdded, FriendRemoved, GpsUpdate, event_name
from streams.demo.database import Row
from streams.demo.details import give_details
from streams.demo.diary import Diary, between
from streams.demo.faults import FAULTS, Fault, faults
from streams.demo.friendships import friendships
from streams.demo.journeys import recorded
from streams.demo.live import LiveChanges
from streams.demo.live_plan import LEAST_CHANGES, plan_changes
from streams.demo.outings import tell_outings, trackers_for
from streams.demo.people import Traveller, travellers
from streams.demo.photos import Camera
from streams.demo.setting import Setting, review, take_photo, visit
from streams.demo.spots import Gazetteer, spots
from streams.demo.talk import call_for_help, leave_for_good, state_preferences, talk
from streams.demo.trips import book, tell_trip

LEAST_EVENTS, LEAST_FIXES, LEAST_PEOPLE = 600, 400, 24
GIVING_DETAILS = 8  # one in so many says how to be reached
TRAVELLING = 0.85  # the share of people without a tracker who are on a trip


class Shares(NamedTuple):
    """How the records of a demo are divided."""

    people: int
    changes: int
    events: int
    fixes: int


class World(Struct, frozen=True):
    """Everything that enters.

    Attributes:
        tables: the rows before the demo begins, by table.
        travellers: everybody, in the order of the table of users.
        events: user events by time; each traveller's own order is that of their story.
        gps: fixes in the order they arrive: by time, but for one that is late.
        faults: records bad on purpose, duplicates and a late event; on top of `events`, see `Fault.after`.
        changes: what happens to the tables meanwhile. Events speak of `changes.late` before those are inserted.
    """

    tables: dict[str, list[Row]]
    travellers: list[Traveller]
    events: list[Event]
    gps: list[GpsUpdate]
    faults: list[Fault]
    changes: LiveChanges

    @property
    def total(self) -> int:
        """How many records enter: rows of the snapshot, changes, events, fixes and faults."""
        rows = sum(len(rows) for rows in self.tables.values())
        return rows + len(self.changes.changes) + len(self.events) + len(self.gps) + len(self.faults)

    def counts(self) -> dict[str, int]:
        """Return the number of events by type, fixes included."""
        return dict(sorted(Counter(event_name(event) for event in (*self.events, *self.gps)).items()))


def shares(count: int, rows: int) -> Shares:
    """Return how `count` records are divided when the tables have so many rows; small counts get a least of each."""
    changes = max(count // 50, LEAST_CHANGES)
    rest = count - rows - changes - FAULTS
    people = min(max(rest // 52, LEAST_PEOPLE), 2_000)  # so that each has some 27 events
    rest -= people
    events = max(round(rest * 0.53), LEAST_EVENTS)
    return Shares(people, changes, events, max(rest - events, LEAST_FIXES))


def generate(
    *,
    seed: int,
    now: datetime,
    count: int,
    restaurants: Sequence[RestaurantRow],
    places: Sequence[PlaceRow],
    fixes: Iterable[GpsUpdate] | None = None,
) -> World:
    """Return a world of `count` records, more when that is too few for one of everything.

    The same arguments give the same bytes (photos: with the same release of Pillow). Times lie in the 20 hours before
    `now`, those of `fixes` where they are. A traveller who asks to be forgotten does nothing afterwards and has no
    friends; places that are deleted or reopened meanwhile are in nobody's story.

    Args:
        seed: of all dice.
        now: the present, with a time zone.
        count: how many records enter in all.
        restaurants: rows of the table.
        places: rows of the table.
        fixes: GPS fixes of the user's own, instead of generated journeys.

    Raises:
        ValueError: no city has six places with a name and a position.
    """
    share = shares(count, len(restaurants) + len(places))
    first_map = Gazetteer(spots(restaurants, places))
    people = travellers(_dice(seed, "people"), share.people, first_map)
    tables: dict[str, list[Row]] = {
        "restaurants": list(restaurants),
        "places": list(places),
        "users": [traveller.row for traveller in people],
    }
    leavers = people[-max(2, len(people) // 60) :]
    spared = {traveller.id for traveller in leavers}
    changes = plan_changes(_dice(seed, "changes"), tables, share.changes, now.date(), spared)
    diary = Diary(seed, now)
    setting = Setting(
        rng=_dice(seed, "stories"),
        diary=diary,
        gazetteer=_map_of_what_stays(restaurants, places, changes, first_map.cities),
        camera=Camera(_dice(seed, "photos")),
        photos_left=min(max(share.events // 60, 12), 1_000),
    )
    cast = people[: -len(leavers)]
    setting.rng.shuffle(cast)
    carrying = 0 if fixes is not None else trackers_for(share.fixes, len(cast))
    gps = _tell(setting, cast[:carrying], cast[carrying:], share, changes)
    for traveller in leavers:
        leave_for_good(setting, traveller, setting.rng.choice(cast))
    talk(setting, cast, share.events - len(diary))
    events = diary.events()
    bad = faults(_dice(seed, "faults"), events, people[0].id, diary.now, lambda: diary.identity("fault"))
    return World(tables, people, events, gps if fixes is None else recorded(fixes), bad, changes)


def _tell(
    setting: Setting, trackers: list[Traveller], others: list[Traveller], share: Shares, changes: LiveChanges
) -> list[GpsUpdate]:
    """Write down the stories of everybody who stays; return the fixes of the trackers' journeys."""
    rng, diary = setting.rng, setting.diary
    everybody = [*trackers, *others]
    travelling = int(len(others) * TRAVELLING)
    _befriend(setting, everybody)
    _speak_of(setting, others[travelling:], changes)
    for traveller in others[:travelling]:
        tell_trip(setting, traveller)
    gps = tell_outings(setting, trackers, share.fixes) if trackers else []
    for traveller in everybody[::GIVING_DETAILS]:
        give_details(diary, traveller, diary.now)
    for traveller in everybody:
        state_preferences(setting, traveller, diary.now)
    for number, traveller in enumerate(rng.sample(everybody, max(3, len(everybody) // 40))):
        earliest = diary.now - timedelta(minutes=10) if number == 0 else diary.start
        call_for_help(setting, traveller, between(rng, earliest, diary.now))
    return gps


def _befriend(setting: Setting, people: list[Traveller]) -> None:
    """Write down friendships, and for one in forty its end; the same traveller says both."""
    rng, diary = setting.rng, setting.diary
    for number, pair in enumerate(friendships(rng, len(people))):
        first, second = (people[index].id for index in rng.sample(pair, 2))
        at = between(rng, diary.start, diary.start + timedelta(hours=14))
        diary.add(FriendAdded(**diary.stamp(first, at), friend_id=second))
        if number % 40 == 7:
            ended_at = between(rng, at + timedelta(minutes=10), diary.now)
            diary.add(FriendRemoved(**diary.stamp(first, ended_at), friend_id=second))


def _speak_of(setting: Setting, locals_: list[Traveller], changes: LiveChanges) -> None:
    """Write down visits, a review, a photo and a booking of each place that the tables do not have yet."""
    rng, diary = setting.rng, setting.diary
    for spot in spots(*_by_table(changes.late)):
        guests = [person for person in locals_ if person.city == spot.city] or locals_
        for guest in rng.sample(guests, min(2, len(guests))):
            visit(setting, guest, spot, between(rng, diary.start + timedelta(hours=2), diary.now), rng.randint(20, 90))
        guest = rng.choice(guests)
        at = between(rng, diary.start + timedelta(minutes=10), diary.now - timedelta(minutes=1))
        review(setting, guest, spot, at)
        take_photo(setting, guest, spot, at - timedelta(minutes=5))
        book(setting, guest, spot, made_at=at, starts_at=at + timedelta(hours=20))


def _map_of_what_stays(
    restaurants: Sequence[RestaurantRow], places: Sequence[PlaceRow], changes: LiveChanges, cities: Sequence[str]
) -> Gazetteer:
    gone = {key for _, key in (*changes.deleted, *changes.recreated)}
    opened = _by_table(changes.arrived)
    return Gazetteer(
        spots(
            [row for row in (*restaurants, *opened[0]) if row.id not in gone],
            [row for row in (*places, *opened[1]) if row.id not in gone],
        ),
        cities,
    )


def _by_table(rows: Iterable[Row]) -> tuple[list[RestaurantRow], list[PlaceRow]]:
    rows = list(rows)
    return [row for row in rows if isinstance(row, RestaurantRow)], [row for row in rows if isinstance(row, PlaceRow)]


def _dice(seed: int, part: str) -> Random:
    """Return the dice of one part, so that a change of one part does not shift all others."""
    return Random(f"{seed}:{part}")
