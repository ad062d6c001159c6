"""What a network between a worker and a store is made to do, and for how long."""

from collections.abc import Callable

from bench.stores.servers import KINDS
from deploy.local.proxy import FaultName, FaultProxy

PATIENCE = 3  # seconds that a sink waits for an answer; the defaults are ten to sixty
FAULTS: tuple[FaultName, ...] = ("latency", "reset", "half-open", "bandwidth")
_SEEN = 3  # how often a fault has to strike before it ends


def faults_of(name: str) -> tuple[FaultName, ...]:
    """Return the faults that a kind of server can be seen through; only answers of HTTP can ask for patience."""
    return (*FAULTS, "storm") if KINDS[name].http else FAULTS


def strike(
    proxy: FaultProxy,
    fault: FaultName,
    wait_for: Callable[[Callable[[], bool], str], None],
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Have a fault strike some times, and end it.

    Args:
        proxy: between worker and store.
        fault: which one.
        wait_for: waits for a condition, of which it is told what it means.
        meanwhile: called once the fault has begun, to give the worker something to do.
    """
    proxy.set(fault)
    meanwhile()
    wait_for(lambda: proxy.hits >= _SEEN, f"the fault {fault} strikes {_SEEN} times")
    proxy.set("none")
