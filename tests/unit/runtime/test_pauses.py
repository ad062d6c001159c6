"""Topics are paused for as long as any reason stands."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.pauses import Pauses
from streams.runtime.progress import PartitionSample, Progress, Sample

TOPICS = st.sampled_from(["a", "b"])
KINDS = st.sampled_from(["breaker", "operator"])


@given(st.lists(st.tuples(st.booleans(), TOPICS, KINDS)))
def test_a_topic_is_paused_while_a_kind_of_reason_stands_and_says_each_of_them(
    steps: list[tuple[bool, str, str]],
) -> None:
    pauses, model = Pauses(), set[tuple[str, str]]()
    for pause, topic, kind in steps:
        if pause:
            pauses.pause([topic], kind, f"why of {kind}")
            model.add((topic, kind))
        else:
            pauses.resume([topic], kind)
            model.discard((topic, kind))
        for one in ("a", "b"):
            expected = {kind for name, kind in model if name == one}
            assert set(pauses.kinds(one)) == expected
            assert (pauses.reason(one) is None) == (not expected)
            assert all(f"why of {kind}" in (pauses.reason(one) or "") for kind in expected)


def test_a_worker_whose_topic_is_paused_is_not_stuck_and_one_whose_topic_is_not_is() -> None:
    def verdict(paused: tuple[str, ...]) -> bool:
        progress = Progress(patience=10)
        sample = Sample("running", (PartitionSample("t", 0, "work", position=5, end=50, answered=1.0, paused=paused),))
        return [progress.look(sample, now).live for now in range(0, 61, 10)][-1]

    assert verdict(("operator",))
    assert not verdict(())
