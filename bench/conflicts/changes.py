"""What two sources say of places, as Debezium tells it, and what has to hold in the end."""

from collections.abc import Mapping
from random import Random

import msgspec
from msgspec import Struct

SOURCES = ("cdc.travel", "cdc.crm")
TABLE = "public.places"
_schema, _, _table = TABLE.partition(".")
_encode = msgspec.json.Encoder().encode


class Said(Struct, frozen=True):
    """A change of a row. `phone` tells it from all others; `at_ms` is its commit's time."""

    source: str
    place: int
    phone: str
    lsn: int
    at_ms: int

    @property
    def key(self) -> bytes:
        """The key of its record."""
        return _encode({"id": f"p{self.place}"})

    @property
    def value(self) -> bytes:
        """The value of its record."""
        told = {"version": "3.4", "connector": "postgresql", "name": self.source, "db": "d", "schema": _schema}
        told |= {"table": _table, "ts_ms": self.at_ms, "lsn": self.lsn}
        row = {"id": f"p{self.place}", "name": f"Hotel {self.place}", "kind": "hotel", "phone": self.phone}
        return _encode({"op": "u", "before": None, "after": row, "source": told})

    @property
    def entity(self) -> str:
        """The place as stores name it."""
        return f"place:p{self.place}"


class Sources:
    """Two sources that change places of which neither knows what the other does.

    Args:
        places: how many there are.
        seed: of who changes what.
    """

    def __init__(self, places: int, seed: int) -> None:
        self._places = places
        self._random = Random(seed)
        self._lsn = 0
        self._last: dict[str, Said] = {}

    def first(self, place: int, at_ms: int) -> Said:
        """Return the insert of a place, by the first source."""
        return self._say(SOURCES[0], place, at_ms)

    def any(self, at_ms: int) -> Said:
        """Return a change of some place by some source."""
        return self._say(self._random.choice(SOURCES), self._random.randrange(self._places), at_ms)

    @property
    def expected(self) -> Mapping[str, str]:
        """The phone that has to hold of each place: the one that was said last."""
        return {entity: said.phone for entity, said in self._last.items()}

    def _say(self, source: str, place: int, at_ms: int) -> Said:
        self._lsn += 1
        said = Said(source, place, f"{self._lsn}", self._lsn, at_ms)
        last = self._last.get(said.entity)
        if last is None or (last.at_ms, last.source) <= (at_ms, source):
            self._last[said.entity] = said
        return said
