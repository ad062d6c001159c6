"""/metrics, /live, /ready and /status of the source of changes."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from connectors.cdc.counters import Counters
from streams.cdc_pages import CdcPages, health, read_page
from streams.runtime.web import listen


@pytest.fixture
def counters() -> Counters:
    return Counters(phase="streaming", turned_at=time.monotonic())


@pytest.fixture
def port(counters: Counters) -> Iterator[int]:
    listener = listen("127.0.0.1", 0)
    with CdcPages(listener, counters, 60):
        yield listener.getsockname()[1]


def get(port: int, page: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", page)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_source_that_streams_is_live_and_ready(port: int) -> None:
    assert get(port, "/live") == (200, b'{"state": "streaming"}')
    assert get(port, "/ready") == (200, b'{"state": "streaming"}')


def test_a_source_that_waits_for_a_server_is_live_and_not_ready(counters: Counters, port: int) -> None:
    counters.phase = "waiting"
    assert (get(port, "/live")[0], get(port, "/ready")[0]) == (200, 503)


def test_a_loop_that_does_not_turn_is_stuck() -> None:
    counters = Counters(phase="streaming", turned_at=100.0)
    assert health(counters, 159.0, 60.0).live
    assert not health(counters, 161.0, 60.0).live
    counters.phase = "snapshot"  # its loop is another one
    assert health(counters, 500.0, 60.0).live


def test_metrics_and_status_tell_what_was_counted(counters: Counters, port: int) -> None:
    counters.count("public.t", "u", 3)
    code, metrics = get(port, "/metrics")
    assert code == 200
    assert b'cdc_events_total{op="u",table="public.t"} 3.0' in metrics
    assert json.loads(get(port, "/status")[1])["events"] == {"public.t": {"u": 3}}
    assert read_page("127.0.0.1", port)["phase"] == "streaming"


def test_another_page_is_not_found(port: int) -> None:
    assert get(port, "/other")[0] == 404
