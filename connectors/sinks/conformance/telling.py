"""What a store holds is told as it was written: what the sweep of `travelos verify` rests on."""

from typing import Any, TypeVar, cast

import msgspec

from connectors.sinks.conformance.subject import Subject, deliver, held
from connectors.sinks.content import comparable, stored
from connectors.sinks.contract import APPLIED, Held, Walking
from schemas.writes import BaseWrite, RelationalWrite

W = TypeVar("W", bound=BaseWrite)


class TellingBehaviours(Subject[W]):
    """Contents, for sinks that are `Undoing` or `Telling`, and a walk for those that are `Walking`."""

    def test_content_is_told_as_it_was_written(self, place: str) -> None:
        """Compared as the sweep compares it. Asking changes nothing."""
        with self.opened(place) as sink:
            writes = [self.write(f"entity-{number}", 5, number) for number in range(5)]
            deliver(sink, writes)
            places = [self.delete(write.entity, 1) for write in writes]
            for _ in range(2):
                told = stored(sink, places)
                if told == [None] * 5:
                    return
                assert [one and one.op for one in told] == ["upsert"] * 5
                assert [_content(one, write) for one, write in zip(told, writes, strict=True)] == [
                    comparable(write) for write in writes
                ]
            assert held(sink, ["entity-1"]) == {"entity-1": Held(version=5)}

    def test_what_is_not_there_is_told_as_a_delete(self, place: str) -> None:
        """Never written, or deleted."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("gone", 1, 10), self.delete("gone", 2)])
            told = stored(sink, [self.delete("never", 1), self.delete("gone", 1)])
            assert [one and one.op for one in told] in (["delete"] * 2, [None] * 2)

    def test_a_walk_tells_of_everything_that_is_held_and_how_it_is_removed(self, place: str) -> None:
        """Each as a delete of the version that is held, which as a repair removes it."""
        with self.opened(place) as sink:
            if not isinstance(sink, Walking):
                return
            walking = cast("Walking[Any]", sink)
            deliver(sink, [self.write(f"entity-{number}", 5, number) for number in range(20)])
            deliver(sink, [self.delete("entity-7", 6)])
            self.visible(place)
            walked = {one.entity: one for one in walking.walk()}
            assert walked.keys() == {f"entity-{number}" for number in range(20) if number != 7}
            assert {(one.op, one.version) for one in walked.values()} == {("delete", 5)}
            removals = [msgspec.structs.replace(one, event_id="e", repair=True) for one in walked.values()]
            assert deliver(sink, removals) == [APPLIED] * 19
            self.visible(place)
            assert list(walking.walk()) == []


def _content(told: BaseWrite | None, write: BaseWrite) -> dict[str, Any] | None:
    """Return what was told, of a row only the columns that were written."""
    if isinstance(told, RelationalWrite) and isinstance(write, RelationalWrite):
        told = msgspec.structs.replace(told, columns={name: told.columns.get(name) for name in write.columns})
    return None if told is None else comparable(told)
