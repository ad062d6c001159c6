"""When workers share the input."""

import pytest

from bench.chaos.trial import is_shared


@pytest.mark.parametrize(
    ("owners", "shared"),
    [
        ({"a": {0, 1}, "b": {2}, "c": {3}}, True),
        ({"a": {0, 1}, "b": {2, 3}, "c": set[int]()}, False),  # one has nothing
        ({"a": {0, 1, 2}, "b": {3}, "c": set[int]()}, False),  # more than its share
        ({"a": {0, 1}, "b": {2}, "c": set[int]()}, False),  # nobody has the last one
        ({"a": {0, 1}, "b": {2, 3}}, False),  # one is not in the group
        ({"a": {0}, "b": {1}, "c": {2}, "d": {3}}, False),  # one too many
        ({}, False),
    ],
)
def test_workers_share_the_input_when_all_of_it_is_with_them_in_even_shares(
    owners: dict[str, set[int]], shared: bool
) -> None:
    assert is_shared(owners, {"a", "b", "c"}, 4) is shared
