"""Who works on which partitions: shares that differ by one at most, and as few moves as that takes. Pure."""

from collections.abc import Collection, Mapping


def even_shares(
    owned: Mapping[str, Collection[int]], spares: Mapping[str, Collection[int]], partitions: int
) -> dict[str, list[int]]:
    """Return the partitions of each member, in order.

    Guarantees: each partition has one owner; two shares differ by one at most; who owns no more than its share keeps
    all of it. What has to move goes to a member that has a copy of its tables, where one has room.

    Args:
        owned: what each member works on now. A partition that two of them claim stays with one.
        spares: the partitions of whose tables each member keeps a copy.
        partitions: how many there are, from 0 on.
    """
    least, larger = divmod(partitions, len(owned))
    # The larger shares are for those who have most: then the least has to move.
    members = sorted(owned, key=lambda member: (-len(owned[member]), member))
    room = {member: least + (place < larger) for place, member in enumerate(members)}
    found: dict[str, list[int]] = {member: [] for member in owned}
    free = set(range(partitions))

    def give(member: str, partition: int) -> None:
        found[member].append(partition)
        room[member] -= 1
        free.remove(partition)

    for member in members:
        for partition in sorted(owned[member]):
            if partition in free and room[member]:
                give(member, partition)
    for member in members:
        for partition in sorted(spares.get(member, ())):
            if partition in free and room[member]:
                give(member, partition)
    for partition in sorted(free):
        give(max(members, key=lambda member: room[member]), partition)
    return {member: sorted(share) for member, share in found.items()}
