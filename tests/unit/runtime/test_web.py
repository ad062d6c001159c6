"""The pages of a worker, over HTTP on the loopback interface."""

import socket
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from streams.runtime.metrics import RuntimeMetrics
from streams.runtime.progress import PartitionSample, Sample, Stall, State, TableRestore, Verdict
from streams.runtime.watch import Watch
from streams.runtime.web import PortTaken, WorkerPages, listen


class Pages:
    """Pages of a worker whose sample and verdict are given."""

    def __init__(self) -> None:
        self.sample = Sample("running")
        self.watch = Watch(lambda: self.sample, lambda _: None)
        self.metrics = RuntimeMetrics()
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.served = WorkerPages(listener, self.metrics.registry, self.watch)
        self.session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        assert self.session is not None
        async with self.session.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
            kind = answer.content_type
            return answer.status, await answer.json() if kind == "application/json" else await answer.text()


@pytest.fixture
async def pages() -> AsyncGenerator[Pages]:
    made = Pages()
    await made.served.start()
    async with aiohttp.ClientSession() as session:
        made.session = session
        yield made
    await made.served.stop()


async def test_a_live_worker_answers_200(pages: Pages) -> None:
    assert await pages.get("/live") == (200, {"state": "live", "why": None, "stalls": []})


async def test_a_stuck_worker_answers_503_and_why(pages: Pages) -> None:
    pages.watch.verdict = Verdict(
        (Stall("it hangs", 61.2, topic="t", partition=3), Stall("no store", 90, waiting=True))
    )
    stall = {"why": "it hangs", "seconds": 61, "topic": "t", "partition": 3}
    assert await pages.get("/live") == (503, {"state": "stuck", "why": "it hangs", "stalls": [stall]})


async def test_a_worker_that_waits_for_something_outside_answers_200_and_what_for(pages: Pages) -> None:
    pages.watch.verdict = Verdict((Stall("no store", 90, waiting=True),))
    status, body = await pages.get("/live")
    assert (status, body["state"], body["why"]) == (200, "waiting", "no store")


@pytest.mark.parametrize(
    ("state", "status"), [("running", 200), ("starting", 503), ("rebalancing", 503), ("stopping", 503)]
)
async def test_ready_means_that_partitions_are_read(pages: Pages, state: State, status: int) -> None:
    pages.sample = Sample(state, (PartitionSample("t", 0, "work"),))
    assert await pages.get("/ready") == (status, {"state": state, "partitions": 1, "records_to_restore": {}})


async def test_a_restore_is_not_ready_and_tells_what_is_left(pages: Pages) -> None:
    pages.sample = Sample("restoring", restores=(TableRestore("counts", 12, 38), TableRestore("seen", 5, 0)))
    status, body = await pages.get("/ready")
    assert (status, body["records_to_restore"]) == (503, {"counts": 38})


@pytest.mark.parametrize(("accept", "end"), [("", ""), ("application/openmetrics-text; version=1.0.0", "# EOF\n")])
async def test_metrics_come_in_the_format_that_is_asked_for(pages: Pages, accept: str, end: str) -> None:
    pages.metrics.delivered("in", 5)
    status, text = await pages.get("/metrics", Accept=accept)
    assert status == 200
    assert 'stream_records_in_total{topic="in"} 5.0' in text
    assert text.endswith(end)


async def test_there_is_nothing_else(pages: Pages) -> None:
    assert (await pages.get("/"))[0] == 404


async def test_the_port_is_free_again_when_they_are_stopped() -> None:
    pages = Pages()
    await pages.served.start()
    await pages.served.stop()
    listen("127.0.0.1", pages.port).close()


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"^127\.0\.0\.1 port {port} cannot be listened on: .*in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_an_error_that_names_it(host: str) -> None:
    with pytest.raises(PortTaken, match=f"^{host} port 7 cannot be listened on: "):
        listen(host, 7)


def has_ipv6_loopback() -> bool:
    """Whether the machine has the address, asked without the code that is tested."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6_loopback(), reason="the loopback interface has no IPv6 address")
def test_ipv6_addresses_are_taken() -> None:
    with listen("::1", 0) as listening:
        assert listening.getsockname()[0] == "::1"
