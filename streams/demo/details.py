"""How travellers can be reached and what identifies them: numbers and addresses that belong to nobody."""

from datetime import datetime, timedelta
from random import Random

from schemas.events import DetailsGiven
from streams.demo.diary import Diary, between
from streams.demo.people import Traveller

TEST_CARD = "4111 1111 1111 1111"  # of the payment schemes' own tests


def give_details(diary: Diary, traveller: Traveller, until: datetime) -> None:
    """Write down a traveller's details, given in the first hours.

    The dice are the traveller's own, so that nobody else's story changes with them.
    """
    rng = Random(f"details:{traveller.id}")
    at = between(rng, diary.start, min(until, diary.start + timedelta(hours=3)))
    name = "".join(one for one in traveller.name.casefold() if one.isascii() and one.isalpha()) or "traveller"
    diary.add(
        DetailsGiven(
            **diary.stamp(traveller.id, at),
            email=f"{name}.{traveller.id}@example.org",
            phone=f"+44 20 7946 0{rng.randint(100, 999)}",  # kept free for stories by Ofcom
            passport=f"{rng.choice('ABCX')}{rng.randint(10_000_000, 99_999_999)}",
            card=TEST_CARD,
            home=f"geo:{rng.uniform(-60, 70):.5f},{rng.uniform(-179, 179):.5f}",
        )
    )
