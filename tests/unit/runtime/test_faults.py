import os
import signal
import subprocess
import sys

import pytest

from streams.runtime.faults import POINTS, FaultPoints, WrongFaultPoint


def test_a_point_that_is_on_kills_when_it_is_reached_for_the_given_time() -> None:
    killed: list[str] = []
    faults = FaultPoints("before-store", time=2, kill=lambda: killed.append("now"))
    faults.reach("before-store")
    faults.reach("before-flush")
    assert not killed
    faults.reach("before-store")
    assert killed == ["now"]
    faults.reach("before-store")
    assert killed == ["now"]


@pytest.mark.parametrize("environment", [{}, {"TRAVELOS_FAULT_POINT": ""}])
def test_without_the_variable_no_point_is_on(environment: dict[str, str]) -> None:
    faults = FaultPoints.from_environment(environment)
    for point in POINTS:
        faults.reach(point)


@pytest.mark.parametrize("given", ["before-lunch", "before-store:0", "before-store:x", ":1", "before-store:"])
def test_a_point_that_does_not_exist_is_refused_with_those_that_do(given: str) -> None:
    with pytest.raises(WrongFaultPoint, match="before-flush, before-changelog") as caught:
        FaultPoints.from_environment({"TRAVELOS_FAULT_POINT": given})
    assert repr(given) in str(caught.value)


def test_the_process_dies_as_of_kill_9() -> None:
    program = "from streams.runtime.faults import FaultPoints; FaultPoints.from_environment().reach('restoring')"
    environment = {**os.environ, "TRAVELOS_FAULT_POINT": "restoring:1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
