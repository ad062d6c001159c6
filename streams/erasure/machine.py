"""How an erasure goes on: a pure function of how far it is and of what a step came to.

Every step may be done again, so whoever is killed in between leaves nothing that its successor has to clean up: what
is recorded is only that a step was done. Nothing is skipped: over is who has been through all of them, and a store
that still holds something sends it back to the deletes.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, get_args

from msgspec import Struct, structs

from connectors.sinks.persons import Purge
from schemas.clock import milliseconds
from schemas.erasures import Erasure, ErasureStart, ErasureStep, StoreAnswer
from schemas.writes import STORES, StoreName

STEPS: tuple[ErasureStep, ...] = get_args(ErasureStep)
ASKS = 20  # of stores that still hold something, before all is looked for and deleted once more
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 250, 30_000


class Deleted(Struct, frozen=True):
    """The deletes are in Kafka: so many of each store, the newest with this version.

    `ends` is where the topics ended by then that are archived, see `Erasure`.
    """

    counts: Mapping[StoreName, int]
    highest: int = 0
    ends: Mapping[str, int] = {}


class Answer(Struct, frozen=True):
    """What a store answered.

    `held` of the `asked` entities it still holds; `unknown` are those that it found besides. Of those that are
    `refused` it holds nothing, and takes nothing: not even their deletes.
    """

    asked: int
    held: int
    searched: bool = False
    unknown: int = 0
    refused: int = 0


class Answered(Struct, frozen=True):
    """All stores were asked."""

    answers: Mapping[StoreName, Answer]


class Forgotten(Struct, frozen=True):
    """Compacted topics have their tombstones, and what lies outside of the stores is gone."""

    tombstones: Mapping[str, int]
    large_values: int = 0


class Unarchived(Struct, frozen=True):
    """So many records were taken out of the archive; None: it was left as it is."""

    records: int | None


class Purged(Struct, frozen=True):
    """What became of deleted data in the files of these stores."""

    stores: Mapping[StoreName, Purge]


class KeyDestroyed(Struct, frozen=True):
    """What became of the person's key."""

    how: str


class Certified(Struct, frozen=True):
    """The certificate is published."""


class Released(Struct, frozen=True):
    """Whoever holds events of the person back knows that it is over."""


class Failed(Struct, frozen=True):
    """The step could not be done now."""

    reason: str


Came = Deleted | Answered | Forgotten | Unarchived | Purged | KeyDestroyed | Certified | Released | Failed


def begin(start: ErasureStart, now: datetime) -> Erasure:
    """Return an erasure of which nothing is done yet."""
    return Erasure(
        id=start.id,
        user_id=start.user_id,
        version=start.version,
        requested_at=start.requested_at,
        began_at=now,
        stores={store: StoreAnswer() for store in STORES},
    )


def after(erasure: Erasure, came: Came, now: datetime, remembered_seconds: float = 0) -> Erasure:
    """Return how far an erasure is after its present step came to this; what came of another step changes nothing.

    Args:
        erasure: how far it was.
        came: what the step came to.
        now: when.
        remembered_seconds: so long may others still use the destroyed key; what is held back is released after it.
    """
    if erasure.step == "over":
        return erasure
    if isinstance(came, Failed):
        return _again(erasure, came.reason, now)
    if isinstance(came, Answered):
        return _asked(erasure, came.answers, now) if erasure.step == "ask" else erasure
    of_step, done = _DONE[type(came)]
    return _next(done(erasure, came, now), remembered_seconds) if erasure.step == of_step else erasure


def is_due(erasure: Erasure, now_ms: int) -> bool:
    """Whether the next step is to be tried now."""
    return erasure.step != "over" and erasure.due_ms <= now_ms


def turns(erasures: Iterable[Erasure], now_ms: int) -> list[Erasure]:
    """Return the erasures whose next step is to be done now.

    Of those that are looked for and asked for one at a time, the oldest first: what is found of a person may be much,
    and to find it all topics of writes are read. Who is asked for in vain is sent back, and goes after who waits.
    """
    everyone = list(erasures)
    asked = sorted((one for one in everyone if one.step == "ask"), key=lambda one: one.began_at)
    sought = sorted((one for one in everyone if one.step == "delete"), key=lambda one: (one.due_ms, one.began_at))
    others = [one for one in everyone if one.step not in ("delete", "ask")]
    return [one for one in (*others, *(asked or sought)[:1]) if is_due(one, now_ms)]


def _deleted(erasure: Erasure, came: Deleted, _now: datetime) -> Erasure:
    stores = {
        store: structs.replace(one, deleted=max(one.deleted, came.counts.get(store, 0)), found=None)
        for store, one in erasure.stores.items()
    }
    return structs.replace(erasure, stores=stores, highest=max(erasure.highest, came.highest), ends=dict(came.ends))


def _forgotten(erasure: Erasure, came: Forgotten, _now: datetime) -> Erasure:
    return structs.replace(erasure, tombstones=dict(came.tombstones), large_values=came.large_values)


def _unarchived(erasure: Erasure, came: Unarchived, _now: datetime) -> Erasure:
    # Again after a crash it finds none: what was taken out the first time is not counted then.
    return structs.replace(erasure, archived=came.records, ends={})


def _purged(erasure: Erasure, came: Purged, now: datetime) -> Erasure:
    stores = {
        store: _rewritten(one, came.stores[store], now) if store in came.stores else one
        for store, one in erasure.stores.items()
    }
    return structs.replace(erasure, stores=stores)


def _rewritten(answer: StoreAnswer, purge: Purge, now: datetime) -> StoreAnswer:
    purged_at = now if purge.forced else None
    return structs.replace(answer, purged_at=purged_at, forced=purge.forced, keeps=purge.keeps)


def _key_destroyed(erasure: Erasure, came: KeyDestroyed, now: datetime) -> Erasure:
    # The certificate is of this moment, whoever is killed before it is published.
    return structs.replace(erasure, key=came.how, certified_at=now)


def _told(erasure: Erasure, _came: Certified | Released, _now: datetime) -> Erasure:
    return erasure


# What came of which step, and what is kept of it.
_DONE: Mapping[type[Struct], tuple[ErasureStep, Callable[[Erasure, Any, datetime], Erasure]]] = {
    Deleted: ("delete", _deleted),
    Forgotten: ("forget", _forgotten),
    Unarchived: ("archive", _unarchived),
    Purged: ("purge", _purged),
    KeyDestroyed: ("destroy_key", _key_destroyed),
    Certified: ("certify", _told),
    Released: ("release", _told),
}


def _asked(erasure: Erasure, answers: Mapping[StoreName, Answer], now: datetime) -> Erasure:
    stores = dict(erasure.stores)
    for store, one in answers.items():
        stores[store] = structs.replace(
            stores.get(store, StoreAnswer()),
            asked=one.asked,
            searched=one.searched,
            found=one.held + one.unknown,
            refused=one.refused,
            asked_at=now,
        )
    erasure = structs.replace(erasure, stores=stores)
    left = [f"{store} ({one.found})" for store, one in sorted(stores.items()) if one.found != 0]
    if not left:
        return _next(erasure)
    reason = "still held by " + ", ".join(left)
    found_more = any(one.unknown for one in answers.values())
    if found_more or erasure.attempts + 1 >= ASKS:
        return _again(structs.replace(erasure, step="delete"), reason, now)
    return _again(erasure, reason, now)


def _next(erasure: Erasure, remembered_seconds: float = 0) -> Erasure:
    step, due_ms = STEPS[STEPS.index(erasure.step) + 1], 0
    if step == "release" and erasure.certified_at is not None:  # it is of when the key was destroyed
        due_ms = milliseconds(erasure.certified_at) + int(remembered_seconds * 1_000)
    return structs.replace(erasure, step=step, attempts=0, due_ms=due_ms, reason="")


def _again(erasure: Erasure, reason: str, now: datetime) -> Erasure:
    attempts = erasure.attempts + 1
    pause = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(attempts, 16))
    return structs.replace(erasure, attempts=attempts, due_ms=milliseconds(now) + pause, reason=reason)
