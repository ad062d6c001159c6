"""When workers share the input, and what Faust makes of a third one."""

import pytest
from faust.assignor.client_assignment import CopartitionedAssignment
from faust.assignor.copartitioned_assignor import CopartitionedAssignor

from bench.chaos.trial import is_shared


@pytest.mark.parametrize(
    ("owners", "shared"),
    [
        ({"a": {0, 1}, "b": {2}, "c": {3}}, True),
        ({"a": {0, 1}, "b": {2, 3}, "c": set[int]()}, True),
        ({"a": {0, 1, 2}, "b": {3}, "c": set[int]()}, False),  # more than its share
        ({"a": {0, 1}, "b": {2}, "c": set[int]()}, False),  # nobody has the last one
        ({"a": {0, 1}, "b": {2, 3}}, False),  # one is not in the group
        ({"a": {0}, "b": {1}, "c": {2}, "d": {3}}, False),  # one too many
        ({}, False),
    ],
)
def test_workers_share_the_input_when_all_of_it_is_with_them_and_nobody_has_too_much(
    owners: dict[str, set[int]], shared: bool
) -> None:
    assert is_shared(owners, {"a", "b", "c"}, 4) is shared


@pytest.mark.parametrize(("standbys", "shares"), [(0, [1, 1, 2]), (1, [0, 2, 2])])
def test_a_third_worker_that_joins_after_the_second_gets_nothing_when_there_are_standbys(
    standbys: int, shares: list[int]
) -> None:
    before = {"a": ({0, 1}, {2, 3}), "b": ({2, 3}, {0, 1}), "c": (set[int](), set[int]())}
    workers = {
        name: CopartitionedAssignment(actives, spare if standbys else set(), {"t"})
        for name, (actives, spare) in before.items()
    }
    after = CopartitionedAssignor({"t"}, workers, 4, standbys).get_assignment()
    assert sorted(len(one.actives) for one in after.values()) == shares
