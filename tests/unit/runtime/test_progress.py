"""When a worker is live, waits, or is stuck, and what is said of it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.progress import (
    LONGEST_STEP_SECONDS,
    Oldest,
    PartitionSample,
    Progress,
    Sample,
    State,
    TableRestore,
    Verdict,
)

PATIENCE = 60.0
STEP = 5.0
RUN = Oldest(1200, 1999, 1_000)


def partition(**values: Any) -> PartitionSample:
    """A partition of which everything is read, finished and committed, changed by `values`."""
    idle = PartitionSample("t", 0, "events", committed=1200, finished=1200, position=1200, end=1200, answered=0.1)
    return msgspec.structs.replace(idle, **values)


def running(*partitions: PartitionSample, **values: Any) -> Sample:
    return Sample("running", partitions, **values)


IDLE = running(partition())
BUSY = running(partition(position=2000, end=5000, oldest=RUN))


def after(seconds: float, sample: Sample, progress: Progress | None = None) -> Verdict:
    """Return the verdict when nothing but `sample` is seen for some time."""
    progress = progress or Progress(PATIENCE)
    verdict = progress.look(sample, 0)
    for step in range(1, int(seconds / STEP) + 1):
        verdict = progress.look(sample, step * STEP)
    return verdict


samples = st.builds(
    partition,
    committed=st.none() | st.integers(0, 5),
    finished=st.none() | st.integers(0, 5),
    position=st.none() | st.integers(0, 5),
    end=st.none() | st.integers(0, 5),
    answered=st.none() | st.floats(0, 200),
    oldest=st.none() | st.builds(Oldest, st.integers(0, 5), st.integers(0, 5), st.just(0), st.booleans()),
).map(running)
others = st.builds(Sample, st.sampled_from(["starting", "rebalancing", "restoring", "stopping"]))


@given(st.lists(samples | others, max_size=30))
def test_no_history_makes_a_worker_stuck_that_is_idle_or_moves_from_now_on(history: list[Sample]) -> None:
    progress = Progress(PATIENCE)
    now = 0.0
    for sample in history:
        progress.look(sample, now := now + STEP)
    for _ in range(30):
        now += STEP
        assert progress.look(IDLE, now) == Verdict()
    for offset in range(1201, 1230):
        moving = partition(committed=offset, finished=offset, position=2000, end=9000, oldest=Oldest(offset, 1999, 0))
        now += STEP
        assert progress.look(running(moving), now) == Verdict()


@given(st.lists(samples | others, min_size=1, max_size=40))
def test_nothing_stalls_sooner_than_the_patience_after_it_was_first_seen(history: list[Sample]) -> None:
    progress = Progress(PATIENCE)
    for number, sample in enumerate(history):
        verdict = progress.look(sample, number * STEP)
        assert all(PATIENCE <= stall.seconds <= number * STEP for stall in verdict.stalls)


@given(st.lists(samples | others, max_size=30), st.lists(st.floats(0.1, 10_000), min_size=1, max_size=30))
def test_a_run_that_never_ends_is_always_told_whatever_was_before_and_however_often_one_looks(
    history: list[Sample], steps: list[float]
) -> None:
    progress = Progress(PATIENCE)
    now = 0.0
    for sample in history:
        progress.look(sample, now := now + STEP)
    progress.look(BUSY, now)
    verdict = Verdict()
    for step in (*steps, *[LONGEST_STEP_SECONDS] * 4):
        verdict = progress.look(BUSY, now := now + step)
    assert not verdict.live
    assert "agent events has been processing t-0 1200..1999 for" in verdict.why


@given(samples, st.sampled_from(["a store is away", "brokers are away"]))
def test_what_waits_for_brokers_is_never_stuck(sample: Sample, why: str) -> None:
    verdict = after(300, msgspec.structs.replace(sample, away=why))
    assert verdict.live
    assert all(stall.why.startswith(why) for stall in verdict.stalls)


def test_a_run_in_work_is_stuck_after_the_patience_and_moves_again_when_it_ends() -> None:
    progress = Progress(PATIENCE)
    assert after(PATIENCE - STEP, BUSY, progress).live
    verdict = progress.look(BUSY, 95)
    assert not verdict.live
    assert verdict.why == "agent events has been processing t-0 1200..1999 for 70 s"
    assert (verdict.stuck[0].topic, verdict.stuck[0].partition) == ("t", 0)
    assert progress.look(running(partition(finished=2000, position=2000, end=5000)), 100).live


def test_an_agent_moves_when_one_of_its_partitions_does_but_not_when_another_agent_does() -> None:
    progress = Progress(PATIENCE)
    waiting = partition(position=2000, end=5000, oldest=Oldest(1200, 1999, 1_000, begun=False))
    for step in range(30):
        sister = msgspec.structs.replace(partition(finished=step, committed=step), partition=1)
        assert progress.look(running(waiting, sister), step * STEP).live
    verdict = Verdict()
    for step in range(30, 60):
        sister = msgspec.structs.replace(partition(finished=step, committed=step, agent="other"), topic="u")
        verdict = progress.look(running(waiting, sister), step * STEP)
    assert verdict.why == "agent events has not taken t-0 1200..1999 for 145 s"


def test_a_run_that_says_what_it_waits_for_is_live_and_the_reason_is_told() -> None:
    held = partition(position=2000, end=5000, oldest=msgspec.structs.replace(RUN, held_up="the store graph is away"))
    verdict = after(300, running(held))
    assert verdict.live
    assert verdict.why == "agent events waits with t-0 1200..1999 for 300 s: the store graph is away"


def test_a_store_that_is_away_does_not_hide_that_another_agent_hangs() -> None:
    held = partition(position=2000, end=5000, oldest=msgspec.structs.replace(RUN, held_up="the store graph is away"))
    hangs = msgspec.structs.replace(BUSY.partitions[0], topic="u", agent="search")
    verdict = after(90, running(held, hangs))
    assert not verdict.live
    assert verdict.why == "agent search has been processing u-0 1200..1999 for 90 s"


def test_records_that_are_not_acknowledged_are_part_of_the_reason() -> None:
    verdict = after(90, msgspec.structs.replace(BUSY, unacknowledged=1234))
    assert verdict.why.endswith("for 90 s while 1,234 records sent are not acknowledged")


@pytest.mark.parametrize(("refused", "reason"), [(None, "no commit has succeeded"), ("t was not delivered", None)])
def test_what_is_finished_and_not_committed_is_stuck_although_the_agent_moves(
    refused: str | None, reason: str | None
) -> None:
    progress, verdict = Progress(PATIENCE), Verdict()
    for step in range(20):
        finished = partition(finished=2000 + step, position=5000, end=5000)
        verdict = progress.look(running(finished, refused=refused), step * STEP)
    why = f"t-0 is finished up to 2019 and not committed for 95 s: {refused or reason}"
    assert (verdict.live, verdict.why) == (False, why)


def test_a_fetch_that_brings_nothing_although_there_is_lag_is_stuck() -> None:
    verdict = after(95, running(partition(end=6200)))
    assert (verdict.live, verdict.why) == (False, "nothing was delivered of t-0 for 95 s although its lag is 5,000")


@pytest.mark.parametrize("values", [{"answered": None}, {"answered": 100.0}, {"answered": None, "end": None}])
def test_a_fetch_that_is_never_answered_is_stuck_also_when_no_lag_is_known(values: dict[str, Any]) -> None:
    verdict = after(95, running(partition(**values)))
    assert (verdict.live, verdict.why) == (False, "nothing was delivered of t-0 for 95 s and no fetch is answered")


def test_offsets_without_records_at_the_end_of_a_log_are_no_lag() -> None:
    # A transaction's marker, or what compaction removed: read past, and never delivered.
    sample = running(partition(committed=1200, finished=None, position=1205, end=1205))
    assert after(1_000, sample) == Verdict()
    assert sample.partitions[0].lag == 0


def test_a_worker_without_partitions_is_live_for_ever() -> None:
    assert after(10_000, running()) == Verdict()


def test_a_restore_is_live_while_it_moves_and_stuck_when_it_does_not() -> None:
    progress, verdict = Progress(PATIENCE), Verdict()
    for step in range(42):
        restored = min(step, 29) * 100
        restores = (TableRestore("counts", restored, 50_000 - restored), TableRestore("done", 5, 0))
        verdict = progress.look(Sample("restoring", restores=restores), step * STEP)
        assert verdict.live or step == 41
    assert not verdict.live
    assert verdict.why == "the restore of table counts makes no progress (2,900 of 50,000 for 60 s)"


@pytest.mark.parametrize(
    ("state", "seconds", "live", "why"),
    [
        ("starting", 55, True, ""),
        ("starting", 300, True, "no partitions were assigned since the start 300 s ago"),
        ("rebalancing", 115, True, ""),
        ("rebalancing", 120, False, "a rebalance has been going on for 120 s"),
        ("restoring", 90, False, "the restore of tables has not begun or not ended for 90 s"),
        ("stopping", 1_000, True, ""),
    ],
)
def test_each_state_has_its_own_patience(state: State, seconds: float, live: bool, why: str) -> None:
    verdict = after(seconds, Sample(state))
    assert (verdict.live, verdict.why) == (live, why)


def test_a_process_that_was_stopped_for_a_while_was_not_stuck_meanwhile() -> None:
    progress = Progress(PATIENCE)
    progress.look(BUSY, 0)
    assert progress.look(BUSY, 3_600).live


def test_a_partition_that_comes_back_starts_anew() -> None:
    progress = Progress(PATIENCE)
    after(55, BUSY, progress)
    progress.look(running(), 60)
    assert progress.look(BUSY, 65).live


def test_how_long_nothing_was_delivered_is_told_for_the_lag_in_seconds() -> None:
    progress = Progress(PATIENCE)
    after(30, running(partition(end=6200)), progress)
    assert progress.starved("t", 0) == 30
    assert progress.starved("t", 1) == 0
    after(30, IDLE, progress)
    assert progress.starved("t", 0) == 0


@pytest.mark.parametrize(
    ("values", "lag"),
    [
        ({"end": None}, 0),
        ({"position": None, "end": 5}, 0),
        ({"position": 2000, "end": 5000}, 3000),
        ({"position": 2000, "end": 5000, "oldest": RUN}, 3800),
        ({"position": 2000, "end": 1500, "oldest": None}, 0),
    ],
)
def test_lag_counts_what_is_not_finished(values: dict[str, Any], lag: int) -> None:
    assert partition(**values).lag == lag
