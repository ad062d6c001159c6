"""What each step of an erasure comes to when nothing is in its way."""

from collections.abc import Mapping

from connectors.sinks.persons import Purge
from schemas.erasures import ErasureStep
from schemas.writes import STORES
from streams.erasure.machine import (
    Answer,
    Answered,
    Came,
    Certified,
    Deleted,
    Forgotten,
    KeyDestroyed,
    Purged,
    Released,
    Unarchived,
)

NOTHING = Answered(dict.fromkeys(STORES, Answer(asked=3, held=0)))
WELL: Mapping[ErasureStep, Came] = {
    "delete": Deleted({"graph": 2, "cache": 1}, highest=120),
    "ask": NOTHING,
    "forget": Forgotten({"reference.users": 1}, large_values=2),
    "archive": Unarchived(5),
    "purge": Purged({"graph": Purge(forced="VACUUM", keeps="its log"), "cache": Purge(keeps="its files")}),
    "destroy_key": KeyDestroyed("destroyed"),
    "certify": Certified(),
    "release": Released(),
}
