"""Conversations between a traveller and the assistant, from the templates of `phrases.py`."""

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Literal, NamedTuple

from streams.demo.people import Traveller
from streams.demo.phrases import ENGLISH, WORDS, Topic
from streams.demo.spots import Spot, spoken_cuisine
from streams.demo.translations import OTHER_LANGUAGES

_SENTENCE_START = re.compile(r"(?:^|[.!?] )[a-z]")


class Line(NamedTuple):
    """One message: who says what; `intent` is that of the conversation."""

    role: Literal["user", "assistant"]
    text: str
    intent: str


class Slots(Mapping[str, str]):
    """The words for one story: its facts, and any other word drawn when a template first asks for it."""

    def __init__(self, rng: Random, traveller: Traveller, spot: Spot, friend: str = "My friend") -> None:
        self._rng = rng
        is_direction = spot.area in ("centre", "north", "south", "east", "west")
        self._facts = {
            "place": spot.spoken,
            "city": spot.city,
            "area": f"the {spot.area}" if is_direction else spot.area or spot.city,
            "district": spot.city if is_direction else spot.area or spot.city,
            "cuisine": spoken_cuisine(spot.cuisine or next(iter(traveller.liked), "local food")),
            "diet": traveller.diet or "not picky",
            "style": traveller.diet or "family",
            "friend": friend,
        }

    def __getitem__(self, name: str) -> str:
        if name not in self._facts:
            self._facts[name] = self._rng.choice(WORDS[name])
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._facts, **WORDS})

    def __len__(self) -> int:
        return len({**self._facts, **WORDS})


def fill(template: str, slots: Slots) -> str:
    """Return the template with its slots filled, every sentence beginning with a capital letter."""
    return _SENTENCE_START.sub(lambda start: start.group().upper(), template.format_map(slots))


def conversation(rng: Random, traveller: Traveller, spot: Spot, friend: str) -> list[Line]:
    """Return two to four messages about a spot, in the traveller's language or in English."""
    topic = _topic(rng, traveller, spot)
    slots = Slots(rng, traveller, spot, friend)
    turns = topic.turns[: rng.randint(2, len(topic.turns))]
    return [
        Line("assistant" if number % 2 else "user", fill(rng.choice(variants), slots), topic.intent)
        for number, variants in enumerate(turns)
    ]


def _topic(rng: Random, traveller: Traveller, spot: Spot) -> Topic:
    own = OTHER_LANGUAGES.get(traveller.language, ())
    topics = own if own and rng.random() < 0.6 else ENGLISH
    fitting = [topic for topic in topics if not topic.kinds or spot.kind in topic.kinds]
    return rng.choices(fitting, [topic.weight for topic in fitting])[0]
