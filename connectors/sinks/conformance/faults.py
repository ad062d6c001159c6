"""Several writers, readers beside them, and writers that are killed."""

import os
import random
import select
import signal
import warnings
from collections.abc import Callable
from itertools import islice
from threading import Thread
from typing import TypeVar

from connectors.sinks.conformance.model import Model, Step, endless_history
from connectors.sinks.conformance.subject import ONE, Subject, deliver, held
from connectors.sinks.contract import Held
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)

_BATCH = 50


class FaultBehaviours(Subject[W]):
    """Concurrency and crashes."""

    def test_two_sinks_of_one_store_respect_each_other(self, place: str) -> None:
        """As two workers do while partitions move from one to the other."""
        with self.opened(place) as one, self.opened(place) as two:
            for version in range(1, 7):
                deliver(one if version % 2 else two, [self.write("entity", version, version)])
                deliver(two if version % 2 else one, [self.write("entity", version - 1, 0)])
            assert held(one, ["entity"]) == held(two, ["entity"]) == {"entity": Held(version=6)}
        assert self.content(place, "entity") == 6

    def test_concurrent_writers_of_one_entity_leave_the_newest(self, place: str) -> None:
        """A zombie that still writes must not win."""
        failures: list[BaseException] = []

        def work(versions: range) -> None:
            try:
                with self.opened(place) as sink:
                    for version in versions:
                        deliver(
                            sink, [self.write("entity", version, version), self.write(f"own-{version}", 1, version)]
                        )
            except BaseException as error:  # noqa: BLE001 - a thread cannot fail a test by itself
                failures.append(error)

        with self.opened(place):
            threads = [Thread(target=work, args=(range(first, 31, 2),)) for first in (1, 2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert failures == []
        with self.opened(place) as sink:
            assert held(sink, ["entity"]) == {"entity": Held(version=30)}
            assert len(held(sink, [f"own-{version}" for version in range(1, 31)])) == 30
        assert self.content(place, "entity") == 30

    def test_a_reader_beside_the_writer_never_sees_time_go_back(self, place: str) -> None:
        """Nor an entity twice, nor one that is missing for a moment."""
        last = 40

        def work() -> None:
            with self.opened(place) as sink:
                for version in range(1, last + 1):
                    deliver(sink, [self.write("entity", version, version)])

        with self.opened(place) as sink:
            writer = Thread(target=work)
            writer.start()
            newest = 0
            while writer.is_alive():
                found = held(sink, ["entity"]).get("entity", Held(version=0))
                assert found == Held(version=found.version)
                assert found.version >= newest
                newest = found.version
            writer.join()
            assert held(sink, ["entity"]) == {"entity": Held(version=last)}

    def test_a_killed_writer_loses_nothing_and_repeats_nothing(self, place: str) -> None:
        """SIGKILL at random moments; what was not acknowledged is sent again, as from a topic."""
        acknowledged = 0
        for attempt in range(4):
            first = acknowledged

            def work(acknowledge: Callable[[], object], first: int = first) -> None:
                sink = self.sink(place)
                sink.open()
                number = first
                while True:
                    deliver(sink, [self.of(step) for step in _batch(number)])
                    acknowledge()
                    number += 1

            acknowledged += kill_while_working(work, random.Random(attempt))
            with self.opened(place) as sink:
                sure, possible = _model(acknowledged), _model(acknowledged + 1)
                found = sink.held(list(possible.versions))
                assert sure.versions.keys() <= found.keys()
                for key, (version, _) in sure.versions.items():
                    assert version <= found[key].version <= possible.versions[key][0]
                    assert found[key].copies <= 1
        with self.opened(place) as sink:
            for number in range(acknowledged + 1):
                deliver(sink, [self.of(step) for step in _batch(number)])
            expected = _model(acknowledged + 1)
            found = sink.held(list(expected.versions))
        assert found == {
            key: Held(version=version, deleted=deleted, copies=0 if deleted else 1)
            for key, (version, deleted) in expected.versions.items()
        }
        for entity, content in expected.contents.items():
            assert self.content(place, entity) == content


def kill_while_working(work: Callable[[Callable[[], object]], None], rng: random.Random) -> int:
    """Run `work` in a process of its own, kill it at a random moment, and return how often it had acknowledged.

    The process is forked: `work` must make its own connections.

    Raises:
        AssertionError: it ended by itself.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads; the child touches none of them
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            work(lambda: os.write(writing, b"."))
        finally:
            os._exit(1)
    os.close(writing)
    count = 0
    try:
        for _ in range(rng.randint(1, 4)):
            count += len(os.read(reading, 1))
        select.select([reading], [], [], rng.uniform(0, 0.02))  # into the middle of a batch, wherever that is
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        while some := os.read(reading, 4096):
            count += len(some)
    finally:
        os.close(reading)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the writer ended by itself"
    return count


def _batch(number: int) -> list[Step]:
    return list(islice(endless_history(1, ONE), number * _BATCH, (number + 1) * _BATCH))


def _model(batches: int) -> Model:
    model = Model()
    for step in islice(endless_history(1, ONE), batches * _BATCH):
        model.apply(step)
    return model
