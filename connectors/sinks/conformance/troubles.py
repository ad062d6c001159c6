"""A store that has no room, that does not know us, or that hangs up.

What the kit cannot bring about by itself a sink's tests say (`full`, `stranger`, `hang_up`). Where they do not, there
is nothing to show.
"""

from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from connectors.sinks.conformance.subject import Subject, deliver, held
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Retry, Sink
from connectors.sinks.errors import Fatal, Unavailable
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)


class TroubleBehaviours(Subject[W]):
    """Full stores, wrong logins, lost connections."""

    def full(self, place: str, sink: Sink[W]) -> AbstractContextManager[object] | None:  # noqa: ARG002
        """Return what leaves an open sink's store no room (disk, memory, quota) while it is entered."""
        return None

    def stranger(self, place: str) -> Sink[W] | None:  # noqa: ARG002
        """Return a new sink with a wrong password, key or token."""
        return None

    def hang_up(self, place: str) -> bool:  # noqa: ARG002
        """End all connections to the store from its side; return whether there are any that can be ended."""
        return False

    def test_a_full_store_rejects_nothing_and_takes_all_once_there_is_room(self, place: str) -> None:
        """Want of room is no fault of a write: a dead letter for each would be the whole topic."""
        with self.opened(place) as sink:
            kept = [self.write(f"kept-{number}", 1, number) for number in range(5)]
            assert deliver(sink, kept) == [APPLIED] * 5
            full = self.full(place, sink)
            if full is None:
                return
            batch = [self.write(f"entity-{number}", 1, number) for number in range(min(sink.limits.max_records, 500))]
            with full:
                try:
                    outcomes = sink.write(batch)
                except Unavailable:
                    outcomes = []
                else:
                    assert any(isinstance(outcome, Retry) for outcome in outcomes), "it was not full"
                assert all(isinstance(outcome, Retry) or outcome in (APPLIED, SUPERSEDED) for outcome in outcomes)
            # What had room already is there, and is not written a second time.
            assert set(deliver(sink, batch)) <= {APPLIED, SUPERSEDED}
            assert deliver(sink, batch) == [SUPERSEDED] * len(batch)
            everything = [write.entity for write in (*kept, *batch)]
            assert held(sink, everything) == dict.fromkeys(everything, Held(version=1))
        assert self.content(place, "kept-3") == 3
        assert self.content(place, f"entity-{len(batch) - 1}") == len(batch) - 1

    def test_a_wrong_login_is_fatal_at_the_start(self, place: str) -> None:
        """Not `Unavailable`: no waiting helps. The right one works afterwards."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 1, 10)])
        stranger = self.stranger(place)
        if stranger is None:
            return
        with pytest.raises(Fatal):
            stranger.open()
        stranger.close()
        with self.opened(place) as sink:
            assert held(sink, ["entity"]) == {"entity": Held(version=1)}

    def test_a_sink_whose_connections_are_ended_goes_on_with_new_ones(self, place: str) -> None:
        """Idle ones, as a server or a firewall ends them. The framework opens the sink anew after `Unavailable`."""
        with self.opened(place) as sink:
            assert deliver(sink, [self.write("entity", 1, 10)]) == [APPLIED]
            if not self.hang_up(place):
                return
            try:
                outcomes = sink.write([self.write("entity", 2, 20)])
            except Unavailable:
                sink.close()
                sink.open()
                outcomes = sink.write([self.write("entity", 2, 20)])
            assert outcomes == [APPLIED]
            assert held(sink, ["entity"]) == {"entity": Held(version=2)}
        assert self.content(place, "entity") == 20
