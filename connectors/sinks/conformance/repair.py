"""What a store has lost or changed is repaired by the same write, sent again with `repair`."""

from typing import TypeVar

import msgspec

from connectors.sinks.conformance.subject import ONE, TWO, Subject, deliver, held
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)


class RepairBehaviours(Subject[W]):
    """Writes with `repair`."""

    def test_a_repair_takes_the_place_of_its_own_version(self, place: str) -> None:
        """Whatever content the store has made of it, also in the same batch."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 5, 50), self.write("another", 5, 50)])
            assert deliver(sink, [_repair(self.write("entity", 5, 51))]) == [APPLIED]
            batch = [self.write("another", 6, 60), _repair(self.write("another", 6, 61))]
            assert deliver(sink, batch) == [APPLIED, APPLIED]
            assert held(sink, ["entity", "another"]) == {"entity": Held(version=5), "another": Held(version=6)}
        assert self.content(place, "entity") == 51
        assert self.content(place, "another") == 61

    def test_a_repair_does_not_touch_what_is_newer(self, place: str) -> None:
        """A newer write that comes in between stays; in the batch of the repair, too."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 6, 60), self.delete("gone", 6)])
            repairs = [_repair(self.write("entity", 5, 50)), _repair(self.write("gone", 5, 50))]
            assert deliver(sink, repairs) == [SUPERSEDED] * 2
            assert deliver(sink, [self.write("entity", 8, 80), _repair(self.write("entity", 7, 70))]) == [
                APPLIED,
                SUPERSEDED,
            ]
            assert deliver(sink, [_repair(self.write("entity", 8, 81)), self.write("entity", 9, 90)]) == [APPLIED] * 2
            assert held(sink, ["gone"]) == {"gone": Held(version=6, deleted=True, copies=0)}
        assert self.content(place, "entity") == 90
        assert self.content(place, "gone") is None

    def test_a_repair_brings_what_the_store_has_lost(self, place: str) -> None:
        """Where nothing is held a repair is a write like all others, and a repeated one is harmless."""
        with self.opened(place) as sink:
            repair = _repair(self.write("entity", 5, 50))
            assert deliver(sink, [repair]) == [APPLIED]
            assert deliver(sink, [repair, repair]) == [APPLIED] * 2
            assert deliver(sink, [self.write("entity", 5, 51)]) == [SUPERSEDED]
            assert held(sink, ["entity"]) == {"entity": Held(version=5)}
        assert self.content(place, "entity") == 50

    def test_a_repaired_delete_is_a_delete_again(self, place: str) -> None:
        """Over what it has deleted already, and over an upsert of its own version."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 4, 40), self.delete("entity", 5), self.write("another", 5, 50)])
            repairs = [_repair(self.delete("entity", 5)), _repair(self.delete("another", 5))]
            assert deliver(sink, repairs) == [APPLIED] * 2
            gone = Held(version=5, deleted=True, copies=0)
            assert held(sink, ["entity", "another"]) == {"entity": gone, "another": gone}
            assert deliver(sink, [self.write("entity", 5, 50)]) == [SUPERSEDED]
        assert self.content(place, "entity") is None
        assert self.content(place, "another") is None

    def test_a_repair_keeps_to_its_source(self, place: str) -> None:
        """The lines of others stay as they are."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 1_000, 1, ONE), self.write("entity", 3, 2, TWO)])
            assert deliver(sink, [_repair(self.write("entity", 3, 4, TWO))]) == [APPLIED]
            assert held(sink, ["entity"], ONE)["entity"].version == 1_000
            assert held(sink, ["entity"], TWO)["entity"].version == 3


def _repair(write: W) -> W:
    return msgspec.structs.replace(write, repair=True)
