"""An erasure goes on after kill -9 of its worker at any step, from what is in Kafka alone."""

import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kafka.reading import read_topics
from schemas.erasures import Certificate, Erasure, ErasureEnd, decode_erasure_record, encode_erasure_record
from streams.erasure.certificate import check
from streams.erasure.machine import STEPS
from tests.integration import killed_eraser
from tests.unit.erasure.plane import START, Plane, begun

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

# Each process begins with what is imported already, and without the clients of Kafka that this one has.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload([killed_eraser.__name__])


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with begun(tmp_path) as made:
        yield made


def worker(plane: Plane, number: int, killed_at: str) -> int | None:
    """Run a worker, in a group of its own so that it need not wait for the session of the one before it."""
    arguments = (plane.connection.bootstrap, plane.folder, f"erasures-{number}", killed_at)
    process = FORKED.Process(target=killed_eraser.main, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def test_an_erasure_goes_on_after_its_worker_was_killed_at_every_step(plane: Plane) -> None:
    plane.deliver()
    others = plane.held("carl")
    with plane.producer() as producer:
        producer.publish_raw(plane.catalogue.erasure_starts.name, b"ann", encode_erasure_record(START))
        producer.publish_raw(plane.catalogue.erasure_log.name, b"nobody", None)
    for number, step in enumerate(STEPS[:-1]):
        assert worker(plane, number, step) == -signal.SIGKILL, step
        log = [one for one in read_topics(plane.connection, [plane.catalogue.erasure_log.name]) if one.value]
        assert decode_erasure_record(log[-1].value, Erasure).step == step  # done, and recorded nowhere
    assert worker(plane, len(STEPS), "") == 0
    assert plane.held("ann") == []
    assert plane.held("carl") == others
    told = [one.value for one in read_topics(plane.connection, [plane.catalogue.erasures.name])]
    certificates = {decode_erasure_record(one, Certificate).signature for one in told}
    assert len(told) == 2  # by the one that was killed when it had published it, and by the next one
    assert len(certificates) == 1
    check(decode_erasure_record(told[-1], Certificate))
    end = decode_erasure_record(plane.last(plane.catalogue.erasure_ends.name), ErasureEnd)
    assert end.id == START.id
