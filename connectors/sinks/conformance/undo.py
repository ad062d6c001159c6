"""What would undo a write is told before it is written. Sinks that cannot tell (`Undoing`) have nothing to show."""

from typing import TypeVar, cast

import msgspec

from connectors.sinks.conformance.subject import ONE, Subject, deliver, held
from connectors.sinks.contract import APPLIED, Held, Recognising, Sink, Undoing
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)


class UndoBehaviours(Subject[W]):
    """Compensation."""

    def test_an_overwritten_entity_is_undone_to_what_it_was(self, place: str) -> None:
        """With its old content and version; sent with a newer version it is there again."""
        with self.opened(place) as sink:
            undoing = _undoing(sink)
            if undoing is None:
                return
            deliver(sink, [self.write("entity", 1, 10)])
            write = self.write("entity", 2, 20)
            (undo,) = undoing.before([write])
            assert undo is not None
            assert (undo.entity, undo.source, undo.version, undo.op) == ("entity", write.source, 1, "upsert")
            deliver(sink, [write])
            assert deliver(sink, [msgspec.structs.replace(undo, version=3)]) == [APPLIED]
        assert self.content(place, "entity") == 10

    def test_a_deleted_entity_is_undone_to_what_it_was(self, place: str) -> None:
        """A delete is a write like all others."""
        with self.opened(place) as sink:
            undoing = _undoing(sink)
            if undoing is None:
                return
            deliver(sink, [self.write("entity", 1, 10)])
            write = self.delete("entity", 2)
            (undo,) = undoing.before([write])
            assert undo is not None
            deliver(sink, [write])
            assert deliver(sink, [msgspec.structs.replace(undo, version=3)]) == [APPLIED]
        assert self.content(place, "entity") == 10

    def test_an_entity_that_did_not_exist_is_undone_to_a_delete(self, place: str) -> None:
        """Whether it never existed or was deleted."""
        with self.opened(place) as sink:
            undoing = _undoing(sink)
            if undoing is None:
                return
            deliver(sink, [self.write("gone", 1, 10), self.delete("gone", 2)])
            writes = [self.write("never", 5, 50), self.write("gone", 5, 50)]
            undos = undoing.before(writes)
            assert [None if undo is None else (undo.op, undo.version) for undo in undos] == [("delete", 0)] * 2
            deliver(sink, writes)
            later = [msgspec.structs.replace(undo, version=6) for undo in undos if undo is not None]
            assert deliver(sink, later) == [APPLIED] * 2
            expected = Held(version=6, deleted=True, copies=0)
            assert held(sink, ["never", "gone"]) == {"never": expected, "gone": expected}
            deliver(sink, [self.write("another", 1, 1)])
        assert self.content(place, "never") is None
        assert self.content(place, "gone") is None

    def test_a_write_that_is_not_newer_has_nothing_to_undo(self, place: str) -> None:
        """Else its undo would take away what a newer one wrote."""
        with self.opened(place) as sink:
            undoing = _undoing(sink)
            if undoing is None:
                return
            deliver(sink, [self.write("entity", 5, 50)])
            assert undoing.before([self.write("entity", 5, 50), self.write("entity", 4, 40)]) == [None, None]
            assert undoing.before([]) == []

    def test_a_write_that_comes_again_is_recognised_by_a_store_that_can(self, place: str) -> None:
        """Its end was not told, and neither was that it replaced nothing: what takes it back removes it."""
        with self.opened(place) as sink:
            if not isinstance(sink, Recognising):
                return
            recognising = cast("Recognising[W]", sink)
            ours, older, newer, never = (self.write(name, 5, 50) for name in ("ours", "older", "newer", "never"))
            deliver(sink, [ours, self.write("older", 4, 40), self.write("newer", 6, 60)])
            undo, *others = recognising.own([ours, older, newer, never])
            assert others == [None] * 3
            assert undo is not None
            assert (undo.op, undo.version) == ("delete", 0)
            assert deliver(sink, [msgspec.structs.replace(undo, version=6)]) == [APPLIED]
            assert recognising.own([]) == []
        assert self.content(place, "ours") is None

    def test_a_write_that_will_be_rejected_keeps_no_other_from_being_undone(self, place: str) -> None:
        """Whether for its content or for a name that the store cannot hold."""
        with self.opened(place) as sink:
            undoing = _undoing(sink)
            if undoing is None:
                return
            unfit = [self.bad("bad", 1, ONE), self.write("with\0NUL", 1, 10)]
            one, *_, two = undoing.before([self.write("one", 1, 10), *unfit, self.write("two", 1, 20)])
            assert [None if undo is None else (undo.entity, undo.op) for undo in (one, two)] == [
                ("one", "delete"),
                ("two", "delete"),
            ]


def _undoing(sink: Sink[W]) -> Undoing[W] | None:
    return cast("Undoing[W]", sink) if isinstance(sink, Undoing) else None
