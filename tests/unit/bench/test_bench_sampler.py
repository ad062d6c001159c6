import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from bench.runtime_apps.sampler import stage_of


def frame_in(file: str, function: str, inner: Callable[[], FrameType]) -> Callable[[], FrameType]:
    """Return a function of that name and file which returns what `inner` does."""
    names: dict[str, Any] = {"inner": inner}
    exec(compile(f"def {function}():\n    return inner()", file, "exec"), names)
    return names[function]


def here() -> FrameType:
    return sys._getframe()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("frames", "stage"),
    [
        ([("streams/routing/table.py", "route")], "route"),
        ([("streams/agents/events.py", "process"), ("streams/agents/intake.py", "_read")], "decode and validate"),
        ([("streams/agents/intake.py", "_is_duplicate"), ("rocksdict/any.py", "get")], "dedupe"),
        ([("streams/agents/ingest.py", "outgoing"), ("streams/routing/table.py", "route")], "route"),
    ],
)
def test_a_sample_counts_for_the_innermost_stage(frames: list[tuple[str, str]], stage: str) -> None:
    call = here
    for file, function in reversed(frames):
        call = frame_in(file, function, call)
    assert stage_of(call()) == stage


def test_a_sample_outside_of_all_stages_is_counted_too() -> None:
    assert stage_of(here()) == "other"
