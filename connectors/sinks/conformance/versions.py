"""A write takes effect only when it is newer than what the store holds."""

from typing import TypeVar
from uuid import uuid4

from hypothesis import HealthCheck, given, settings

from connectors.sinks.conformance.model import Model, Step, histories
from connectors.sinks.conformance.subject import ONE, TWO, Subject, deliver, held
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)

LARGEST_VERSION = 2**63 - 1


class VersionBehaviours(Subject[W]):
    """Versions, deletes and repetition."""

    def test_a_repeated_batch_changes_nothing(self, place: str) -> None:
        """Delivery is at least once; the store must make it exactly once, also over a restart."""
        batch = [self.write(f"entity-{number}", 5, number) for number in range(20)]
        with self.opened(place) as sink:
            assert deliver(sink, batch) == [APPLIED] * 20
            first = held(sink, [write.entity for write in batch])
            assert deliver(sink, batch) == [SUPERSEDED] * 20
        with self.opened(place) as sink:
            assert deliver(sink, batch) == [SUPERSEDED] * 20
            assert held(sink, [write.entity for write in batch]) == first
        assert self.content(place, "entity-7") == 7

    def test_every_entity_is_held_once(self, place: str) -> None:
        """However often it is written."""
        with self.opened(place) as sink:
            for version in (1, 2, 2, 3):
                deliver(sink, [self.write(f"entity-{number}", version, version) for number in range(10)])
            found = held(sink, [f"entity-{number}" for number in range(10)])
        assert found == {f"entity-{number}": Held(version=3, copies=1) for number in range(10)}

    def test_an_older_version_is_superseded_whenever_it_comes(self, place: str) -> None:
        """In a batch of its own and in the same batch."""
        with self.opened(place) as sink:
            assert deliver(sink, [self.write("entity", 5, 50)]) == [APPLIED]
            assert deliver(sink, [self.write("entity", 3, 30)]) == [SUPERSEDED]
            assert deliver(sink, [self.write("entity", 9, 90), self.write("entity", 7, 70)]) == [APPLIED, SUPERSEDED]
            assert held(sink, ["entity"]) == {"entity": Held(version=9)}
        assert self.content(place, "entity") == 90

    def test_the_same_version_with_another_content_is_superseded(self, place: str) -> None:
        """The first one holds: a version names one write."""
        with self.opened(place) as sink:
            assert deliver(sink, [self.write("entity", 5, 1), self.write("entity", 5, 2)]) == [APPLIED, SUPERSEDED]
        assert self.content(place, "entity") == 1

    def test_two_writes_of_one_entity_in_a_batch_apply_in_order(self, place: str) -> None:
        """Upsert, delete, upsert."""
        batch = [self.write("entity", 1, 10), self.delete("entity", 2), self.write("entity", 3, 30)]
        with self.opened(place) as sink:
            assert deliver(sink, batch) == [APPLIED] * 3
            assert held(sink, ["entity"]) == {"entity": Held(version=3)}
        assert self.content(place, "entity") == 30

    def test_a_late_upsert_does_not_bring_a_deleted_entity_back(self, place: str) -> None:
        """Also after the store was closed: a tombstone is kept like everything else."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 1, 10)])
            assert deliver(sink, [self.delete("entity", 5)]) == [APPLIED]
            assert deliver(sink, [self.write("entity", 3, 30)]) == [SUPERSEDED]
        with self.opened(place) as sink:
            assert deliver(sink, [self.write("entity", 4, 40)]) == [SUPERSEDED]
            assert held(sink, ["entity"]) == {"entity": Held(version=5, deleted=True, copies=0)}
        assert self.content(place, "entity") is None

    def test_a_delete_of_what_never_existed_keeps_a_late_upsert_out(self, place: str) -> None:
        """The delete overtook the insert."""
        with self.opened(place) as sink:
            assert deliver(sink, [self.delete("entity", 5)]) == [APPLIED]
            assert deliver(sink, [self.write("entity", 4, 40)]) == [SUPERSEDED]
            assert held(sink, ["entity"]) == {"entity": Held(version=5, deleted=True, copies=0)}
            deliver(sink, [self.write("another", 1, 1)])
        assert self.content(place, "entity") is None

    def test_a_newer_upsert_brings_a_deleted_entity_back(self, place: str) -> None:
        """A delete is no ban."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 1, 10), self.delete("entity", 2)])
            assert deliver(sink, [self.write("entity", 3, 30)]) == [APPLIED]
            assert held(sink, ["entity"]) == {"entity": Held(version=3)}
        assert self.content(place, "entity") == 30

    def test_a_late_delete_does_not_remove_a_newer_entity(self, place: str) -> None:
        """Deletes are compared like everything else."""
        with self.opened(place) as sink:
            deliver(sink, [self.write("entity", 5, 50)])
            assert deliver(sink, [self.delete("entity", 3)]) == [SUPERSEDED]
            assert held(sink, ["entity"]) == {"entity": Held(version=5)}
        assert self.content(place, "entity") == 50

    def test_versions_of_two_sources_do_not_compare(self, place: str) -> None:
        """A log position is no clock: each source has its own line of versions."""
        with self.opened(place) as sink:
            assert deliver(sink, [self.write("entity", 1_000, 1, ONE)]) == [APPLIED]
            assert deliver(sink, [self.write("entity", 3, 2, TWO)]) == [APPLIED]
            assert (
                deliver(sink, [self.write("entity", 2, 3, TWO), self.write("entity", 999, 4, ONE)]) == [SUPERSEDED] * 2
            )
            assert held(sink, ["entity"], ONE)["entity"].version == 1_000
            assert held(sink, ["entity"], TWO)["entity"].version == 3

    def test_the_largest_and_the_smallest_version_are_kept_exactly(self, place: str) -> None:
        """64-bit integers, not floating point."""
        with self.opened(place) as sink:
            assert (
                deliver(sink, [self.write("large", LARGEST_VERSION - 1, 1), self.write("small", 0, 1)]) == [APPLIED] * 2
            )
            assert deliver(sink, [self.write("large", LARGEST_VERSION, 2)]) == [APPLIED]
            found = held(sink, ["large", "small"])
        assert (found["large"].version, found["small"].version) == (LARGEST_VERSION, 0)
        assert self.content(place, "large") == 2

    @given(batches=histories(["a", "b", "c"], [ONE, ONE, TWO]))
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        # The store is shared by the examples, and each has entities of its own.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    def test_a_random_history_leaves_what_a_model_says(self, place: str, batches: list[list[Step]]) -> None:
        """Outcomes, versions, tombstones and contents, after every batch."""
        example = uuid4().hex
        model = Model()
        with self.opened(place) as sink:
            for batch in batches:
                steps = [step._replace(entity=f"{step.entity}-{example}") for step in batch]
                assert deliver(sink, [self.of(step) for step in steps]) == [model.apply(step) for step in steps]
                found = sink.held(list(model.versions))
                assert {key: (one.version, one.deleted) for key, one in found.items()} == model.versions
                for (entity, _), one in found.items():
                    if model.of_one_source(entity):
                        assert one.copies == (0 if one.deleted else 1)
            for entity, content in model.contents.items():
                if model.of_one_source(entity):
                    assert self.content(place, entity) == content
