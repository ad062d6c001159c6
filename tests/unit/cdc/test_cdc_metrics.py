"""What the source says of itself: counts, lag and the metrics made of them."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from connectors.cdc.counters import Counters
from connectors.cdc.lag import COMMITS, Lag
from connectors.cdc.metrics import METRICS, registry_of


def value(counters: Counters, name: str, **labels: str) -> float | None:
    return registry_of(counters, now=lambda: 10.0).get_sample_value(name, labels)


def test_every_metric_is_exposed_under_the_name_that_the_page_tells() -> None:
    text = generate_latest(registry_of(Counters())).decode()
    for metric in METRICS:
        assert f"# TYPE {metric.full_name} {metric.kind}" in text


def test_events_are_counted_by_table_and_op() -> None:
    counters = Counters()
    counters.count("public.t", "c", 5)
    counters.count("public.t", "c")
    counters.count("public.t", "r", 9)
    assert value(counters, "cdc_events_total", table="public.t", op="c") == 6
    assert value(counters, "cdc_events_total", table="public.t", op="r") == 9
    assert (counters.created, counters.streamed_rows) == (6, 6)
    assert counters.told()["events"] == {"public.t": {"c": 6, "r": 9}}


def test_what_nobody_knows_is_absent() -> None:
    counters = Counters()
    for name in ("slot_safe_bytes", "snapshot_eta_seconds", "since_last_event_milliseconds"):
        assert value(counters, f"cdc_{name}") is None
    assert value(counters, "cdc_behind_source_milliseconds", quantile="0.5") is None
    counters.committed_at_us = 9_000_000
    counters.slot_safe_bytes = 7
    assert value(counters, "cdc_since_last_event_milliseconds") == 1_000
    assert value(counters, "cdc_slot_safe_bytes") == 7


def test_it_is_connected_while_it_reads() -> None:
    read = {phase: value(Counters(phase=phase), "cdc_connected") for phase in ("snapshot", "streaming", "waiting")}
    assert read == {"snapshot": 1, "streaming": 1, "waiting": 0}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2 * COMMITS))
def test_lag_is_that_of_the_last_commits(lags: list[float]) -> None:
    lag = Lag()
    for one in lags:
        lag.observe(one)
    last = sorted(lags[-COMMITS:])
    half, most = lag.quantiles(0.5, 1.0)
    assert sum(one <= half for one in last) >= len(last) / 2
    assert most == last[-1]


def test_a_clock_that_is_ahead_makes_no_negative_lag() -> None:
    lag = Lag()
    lag.observe(-5.0)
    assert lag.quantiles(0.99) == [0.0]
    assert Lag().quantiles(0.5) == []
