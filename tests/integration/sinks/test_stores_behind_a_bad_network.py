"""Every store behind a network that fails: real Kafka, a real worker, a proxy that misbehaves, the real server."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest

from bench.stores.delivered import Delivered
from bench.stores.network import FAULTS, PATIENCE, strike
from bench.stores.servers import KINDS, ONE_OF_EACH, environment, prepare
from deploy.local.kafka import KafkaServer
from deploy.local.proxy import FaultName, FaultProxy

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = {
    "TRAVELOS_DELIVER_BACKOFF_MAX_SECONDS": "0.5",
    "TRAVELOS_DELIVER_BREAKER_SECONDS": "1",
}

numbers = count(1)


class Setup(NamedTuple):
    """A store behind a proxy, and its delivery."""

    proxy: FaultProxy
    delivered: Delivered


@pytest.fixture(scope="module")
def setup(
    request: pytest.FixtureRequest,
    kafka_server: KafkaServer,
    start_server: Callable[[Any], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Setup]:
    name: str = request.param
    kind = KINDS[name]
    server: Any = start_server(kind.make(tmp_path_factory.mktemp(name)))
    prepare(server)
    try:
        with FaultProxy("127.0.0.1", server.port) as proxy:
            through = environment(name, server, port=proxy.port, patience=PATIENCE)
            folder = tmp_path_factory.mktemp(f"{name}-worker")
            with Delivered(
                kind.store,
                kafka_server.bootstrap,
                f"network-{next(numbers)}-{name}.",
                folder,
                through={**through, **QUICK},
                directly=environment(name, server),
            ) as delivered:
                yield Setup(proxy, delivered)
    finally:
        server.delete()


@pytest.mark.parametrize("setup", ONE_OF_EACH, indirect=True, scope="module")
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_missing_and_nothing_twice_after_the_network_has_failed(setup: Setup, fault: FaultName) -> None:
    disturb(setup, fault)


@pytest.mark.parametrize("setup", [name for name in ONE_OF_EACH if KINDS[name].http], indirect=True, scope="module")
def test_nor_after_a_storm_of_answers_that_ask_for_patience(setup: Setup) -> None:
    disturb(setup, "storm")


def disturb(setup: Setup, fault: FaultName) -> None:
    proxy, delivered = setup
    delivered.send(200)
    delivered.wait_for(lambda: delivered.done() > 0, "the worker writes")
    strike(proxy, fault, delivered.wait_for, meanwhile=lambda: delivered.send(400))
    delivered.settle()
    assert delivered.problems() == []
