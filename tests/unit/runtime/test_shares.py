"""Shares of a group's members."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.shares import even_shares

MEMBERS = st.sampled_from(["a", "b", "c", "d", "e"])
PARTITIONS = st.integers(1, 12)


@st.composite
def groups(draw: st.DrawFn) -> tuple[dict[str, set[int]], dict[str, set[int]], int]:
    """Members with whatever they say they own, also what others own, and copies."""
    partitions = draw(PARTITIONS)
    members = sorted(draw(st.sets(MEMBERS, min_size=1)))
    some = st.sets(st.integers(0, partitions - 1))
    owned = {member: draw(some) for member in members}
    return owned, {member: draw(some) - owned[member] for member in members}, partitions


@given(groups())
def test_each_partition_has_one_owner_and_shares_differ_by_one_at_most(
    group: tuple[dict[str, set[int]], dict[str, set[int]], int],
) -> None:
    owned, spares, partitions = group
    shares = even_shares(owned, spares, partitions)
    assert sorted(one for share in shares.values() for one in share) == list(range(partitions))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert set(shares) == set(owned)


@given(groups())
def test_a_second_look_moves_nothing(group: tuple[dict[str, set[int]], dict[str, set[int]], int]) -> None:
    owned, spares, partitions = group
    shares = even_shares(owned, spares, partitions)
    assert even_shares(shares, spares, partitions) == shares


@given(groups(), st.sets(MEMBERS, max_size=4), st.sets(MEMBERS, max_size=4))
def test_as_few_partitions_move_as_even_shares_need(
    group: tuple[dict[str, set[int]], dict[str, set[int]], int], gone: set[str], come: set[str]
) -> None:
    before = even_shares(*group)
    members = (set(before) - gone) | come or {"f"}
    now = {member: before.get(member, []) for member in members}
    after = even_shares(now, {}, group[2])
    stayed = sum(len(set(now[member]) & set(after[member])) for member in members)
    least, larger = divmod(group[2], len(members))
    most_kept = sorted((len(share) for share in now.values()), reverse=True)
    assert stayed == sum(min(size, least + (place < larger)) for place, size in enumerate(most_kept))


def test_what_moves_goes_to_a_member_that_has_a_copy_where_one_has_room() -> None:
    shares = even_shares({"a": {0, 1, 2, 3, 4, 5}, "b": set(), "c": set()}, {"b": {5, 2}, "c": {4, 3}}, 6)
    assert shares == {"a": [0, 1], "b": [2, 5], "c": [3, 4]}
