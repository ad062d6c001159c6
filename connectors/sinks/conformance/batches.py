"""What a sink does with a batch, whatever is in it."""

from typing import TypeVar

from connectors.sinks.conformance.subject import ONE, Subject, deliver, held
from connectors.sinks.contract import APPLIED, Applied, Held, Rejected
from connectors.sinks.errors import BatchTooLarge
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)

AWKWARD = (
    " ",
    "two words ",
    "two words",
    "UPPER",
    "upper",
    "caf\u00e9",
    "cafe\u0301",
    "Путешествие",
    "서울-맛집",
    "🗽🍕",
    "👩‍👩‍👧",
    "'; DROP TABLE versions; --",
    '"quoted"',
    "100%",
    "%2E%2E",
    "back\\slash",
    "back/slash",
    "..",
    "../../etc/passwd",
    "/absolute",
    "double//slash",
    "ends/",
    ".hidden",
    "x.meta.json",
    "line\nbreak",
    "tab\tulator",
    "x" * 500,
    "x" * 499 + "y",
    "🗽" * 500,
)


class BatchBehaviours(Subject[W]):
    """Opening, closing, rejecting, and identifiers of every kind."""

    def test_an_empty_batch_changes_nothing(self, place: str) -> None:
        """It is no error either."""
        with self.opened(place) as sink:
            assert sink.write([]) == []
            assert sink.held([]) == {}

    def test_what_was_never_written_is_absent(self, place: str) -> None:
        """Absent, which is not the same as deleted."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 1, 1)])
            assert held(sink, ["entity", "nobody"]) == {"entity": Held(version=1)}

    def test_what_was_applied_is_there_after_closing_and_opening_again(self, place: str) -> None:
        """With the same object and with a new one; closing twice is harmless."""
        sink = self.sink(place)
        for version in (1, 2, 3):
            sink.open()
            deliver(sink, [self.write("entity", version, version)])
            sink.close()
            sink.close()
        assert self.content(place, "entity") == 3
        with self.opened(place) as another:
            assert held(another, ["entity"]) == {"entity": Held(version=3)}

    def test_a_bad_write_is_rejected_and_the_others_are_applied(self, place: str) -> None:
        """One among ten thousand, with a reason; what comes before and after it is not disturbed."""
        batch = [self.write(f"entity-{number}", 1, number) for number in range(self.among)]
        batch[self.among // 2] = self.bad("bad", 1, ONE)
        with self.opened(place) as sink:
            outcomes = deliver(sink, batch)
            rejected = outcomes.pop(self.among // 2)
            assert isinstance(rejected, Rejected)
            assert rejected.reason
            assert all(isinstance(outcome, Applied) for outcome in outcomes)
            found = held(sink, [write.entity for write in batch])
        assert "bad" not in found
        assert len(found) == self.among - 1
        assert all(one == Held(version=1) for one in found.values())
        assert self.content(place, f"entity-{self.among - 1}") == self.among - 1

    def test_a_rejected_write_leaves_no_version_behind(self, place: str) -> None:
        """Corrected, it may come again with the same version."""
        with self.opened(place) as sink:
            assert isinstance(deliver(sink, [self.bad("entity", 5, ONE)])[0], Rejected)
            assert deliver(sink, [self.write("entity", 5, 50)]) == [APPLIED]
        assert self.content(place, "entity") == 50

    def test_a_rejected_write_leaves_the_entity_as_it_was(self, place: str) -> None:
        """Also in the middle of other writes of the same entity."""
        batch = [
            self.write("entity", 1, 10),
            self.bad("entity", 2, ONE),
            self.write("entity", 3, 30),
            self.bad("entity", 4, ONE),
        ]
        with self.opened(place) as sink:
            outcomes = deliver(sink, batch)
            assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, False, True]
            assert held(sink, ["entity"]) == {"entity": Held(version=3)}
        assert self.content(place, "entity") == 30

    def test_a_batch_of_nothing_but_bad_writes_is_rejected_one_by_one(self, place: str) -> None:
        """And what follows goes on."""
        with self.opened(place) as sink:
            outcomes = deliver(sink, [self.bad(f"bad-{number}", 1, ONE) for number in range(20)])
            assert all(isinstance(outcome, Rejected) for outcome in outcomes)
            assert deliver(sink, [self.write("entity", 1, 1)]) == [APPLIED]

    def test_identifiers_of_every_kind_are_kept_apart(self, place: str) -> None:
        """Unicode of four bytes, long ones, ones that look like paths, SQL or each other."""
        with self.opened(place) as sink:
            batch = [self.write(entity, 1, number) for number, entity in enumerate(AWKWARD)]
            assert deliver(sink, batch) == [APPLIED] * len(AWKWARD)
            assert held(sink, AWKWARD) == {entity: Held(version=1) for entity in AWKWARD}
        for number, entity in enumerate(AWKWARD):
            assert self.content(place, entity) == number, entity

    def test_a_batch_over_the_limits_is_applied_or_refused_whole(self, place: str) -> None:
        """`BatchTooLarge` means that nothing was applied."""
        with self.opened(place) as sink:
            size = 2 * min(sink.limits.max_records, self.many) + 1
            batch = [self.write(f"entity-{number}", 1, number) for number in range(size)]
            try:
                outcomes = sink.write(batch)
            except BatchTooLarge:
                assert held(sink, [write.entity for write in batch]) == {}
                outcomes = deliver(sink, batch)
            assert outcomes == [APPLIED] * size
            assert len(held(sink, [write.entity for write in batch])) == size
