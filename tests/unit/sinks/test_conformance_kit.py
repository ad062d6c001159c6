"""The kit passes a sink that is right and catches each kind of sink that is not."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.conformance.batches import BatchBehaviours
from connectors.sinks.conformance.repair import RepairBehaviours
from connectors.sinks.conformance.subject import Subject
from connectors.sinks.conformance.troubles import TroubleBehaviours
from connectors.sinks.conformance.versions import VersionBehaviours
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from schemas.writes import CacheWrite

Versions = dict[tuple[str, str], tuple[int, bool]]


class MemorySink:
    """Everything in dictionaries, which end with the process: the one behaviour it cannot show."""

    stores: ClassVar[dict[str, tuple[Versions, dict[str, int]]]] = {}
    limits = Limits(max_records=100)

    def __init__(self, place: str) -> None:
        self.versions, self.values = self.stores.setdefault(place, ({}, {}))

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        return [self.apply(write) for write in batch]

    def apply(self, write: CacheWrite) -> Outcome:
        if not isinstance(write.value, int):
            return Rejected("`value` is no integer")
        if not self.is_new(write):
            return SUPERSEDED
        self.versions[write.entity, write.source] = (write.version, write.op == "delete")
        if write.op == "delete":
            self.values.pop(write.entity, None)
        else:
            self.values[write.entity] = write.value
        return APPLIED

    def is_new(self, write: CacheWrite) -> bool:
        return write.replaces >= self.versions.get((write.entity, write.source), (-1, False))[0]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {
            key: Held(version=self.versions[key][0], deleted=self.versions[key][1], copies=int(key[0] in self.values))
            for key in entities
            if key in self.versions
        }


class AppliesEverything(MemorySink):
    def is_new(self, write: CacheWrite) -> bool:
        return True


class AppliesTheSameVersionAgain(MemorySink):
    def is_new(self, write: CacheWrite) -> bool:
        return write.version >= self.versions.get((write.entity, write.source), (-1, False))[0]


class KnowsNoRepair(MemorySink):
    def is_new(self, write: CacheWrite) -> bool:
        return write.version > self.versions.get((write.entity, write.source), (-1, False))[0]


class ForgetsTombstones(MemorySink):
    def apply(self, write: CacheWrite) -> Outcome:
        outcome = super().apply(write)
        if write.op == "delete":
            self.versions.pop((write.entity, write.source), None)
        return outcome


class ComparesSources(MemorySink):
    def is_new(self, write: CacheWrite) -> bool:
        return all(write.version > known[0] for key, known in self.versions.items() if key[0] == write.entity)


class RejectsTheWholeBatch(MemorySink):
    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        if any(not isinstance(write.value, int) for write in batch):
            return [Rejected("one of them is bad") for _ in batch]
        return super().write(batch)


class CountsAVersionBeforeItRejects(MemorySink):
    def apply(self, write: CacheWrite) -> Outcome:
        outcome = super().apply(write)
        if isinstance(outcome, Rejected):
            self.versions[write.entity, write.source] = (write.version, False)
        return outcome


class HoldsTwice(MemorySink):
    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {key: Held(version=one.version, copies=2) for key, one in super().held(entities).items()}


class FoldsCase(MemorySink):
    def apply(self, write: CacheWrite) -> Outcome:
        outcome = super().apply(write)
        self.values[write.entity.upper()] = self.values[write.entity.lower()] = self.values.get(write.entity, 0)
        return outcome


class TroubledSink(MemorySink):
    """Has room or not, a password, and connections."""

    full: ClassVar[bool] = False
    cut: ClassVar[bool] = False

    def __init__(self, place: str, password: str = "right") -> None:
        super().__init__(place)
        self.password = password

    def open(self) -> None:
        if self.password != "right":
            raise Fatal("set stores.cache.password")
        type(self).cut = False

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        if self.cut:
            raise Unavailable("the connection is lost")
        if self.full:
            raise Unavailable("no room")
        return super().write(batch)


class RejectsWhatHasNoRoom(TroubledSink):
    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        return [Rejected("no room") for _ in batch] if self.full else super().write(batch)


class ForgetsWhatHadNoRoom(TroubledSink):
    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        if self.full:
            for write in batch:
                self.versions[write.entity, write.source] = (write.version, False)
        return super().write(batch)


class WaitsForAPassword(TroubledSink):
    def open(self) -> None:
        if self.password != "right":
            raise Unavailable("refused")


class KeepsALostConnection(TroubledSink):
    def open(self) -> None:
        if self.password != "right":
            raise Fatal("set stores.cache.password")


class Memory(Subject[CacheWrite]):
    kind: ClassVar[type[MemorySink]] = MemorySink

    def sink(self, place: str) -> MemorySink:
        return self.kind(place)

    def good(self, entity: str, version: int, source: str, content: int) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=content)

    def bad(self, entity: str, version: int, source: str) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value="bad")

    def content(self, place: str, entity: str) -> int | None:
        return MemorySink.stores[place][1].get(entity)


class Troubled(Memory, TroubleBehaviours[CacheWrite]):
    kind: ClassVar[type[TroubledSink]] = TroubledSink  # pyright: ignore[reportIncompatibleVariableOverride] - narrower

    @contextmanager
    def full(self, place: str, sink: object) -> Generator[None]:
        self.kind.full = True
        yield
        self.kind.full = False

    def stranger(self, place: str) -> MemorySink:
        return self.kind(place, "wrong")

    def hang_up(self, place: str) -> bool:
        self.kind.cut = True
        return True


class TestTroubled(Troubled):
    pass


class TestMemory(Memory, VersionBehaviours[CacheWrite], BatchBehaviours[CacheWrite], RepairBehaviours[CacheWrite]):
    pass


@pytest.mark.parametrize(
    ("kind", "behaviour"),
    [
        (AppliesEverything, "test_an_older_version_is_superseded_whenever_it_comes"),
        (AppliesTheSameVersionAgain, "test_a_repeated_batch_changes_nothing"),
        (AppliesTheSameVersionAgain, "test_the_same_version_with_another_content_is_superseded"),
        (KnowsNoRepair, "test_a_repair_takes_the_place_of_its_own_version"),
        (AppliesEverything, "test_a_repair_does_not_touch_what_is_newer"),
        (ForgetsTombstones, "test_a_late_upsert_does_not_bring_a_deleted_entity_back"),
        (ForgetsTombstones, "test_a_delete_of_what_never_existed_keeps_a_late_upsert_out"),
        (ComparesSources, "test_versions_of_two_sources_do_not_compare"),
        (RejectsTheWholeBatch, "test_a_bad_write_is_rejected_and_the_others_are_applied"),
        (CountsAVersionBeforeItRejects, "test_a_rejected_write_leaves_no_version_behind"),
        (HoldsTwice, "test_every_entity_is_held_once"),
        (FoldsCase, "test_identifiers_of_every_kind_are_kept_apart"),
        (MemorySink, "test_a_killed_writer_loses_nothing_and_repeats_nothing"),
    ],
)
def test_a_sink_that_is_wrong_fails_the_behaviour_it_lacks(
    kind: type[MemorySink], behaviour: str, tmp_path: Path
) -> None:
    class Wrong(Memory, SinkConformance[CacheWrite]):
        pass

    Wrong.kind = kind
    with pytest.raises(AssertionError):
        getattr(Wrong(), behaviour)(place=str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "behaviour"),
    [
        (RejectsWhatHasNoRoom, "test_a_full_store_rejects_nothing_and_takes_all_once_there_is_room"),
        (ForgetsWhatHadNoRoom, "test_a_full_store_rejects_nothing_and_takes_all_once_there_is_room"),
        (WaitsForAPassword, "test_a_wrong_login_is_fatal_at_the_start"),
        (KeepsALostConnection, "test_a_sink_whose_connections_are_ended_goes_on_with_new_ones"),
    ],
)
def test_a_sink_that_meets_trouble_wrongly_fails_the_behaviour_it_lacks(
    kind: type[TroubledSink], behaviour: str, tmp_path: Path
) -> None:
    class Wrong(Troubled):
        pass

    Wrong.kind = kind
    with pytest.raises((AssertionError, Unavailable)):
        getattr(Wrong(), behaviour)(place=str(tmp_path))
