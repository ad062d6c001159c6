"""Who is friends with whom: a small world, as people are."""

from random import Random


def friendships(rng: Random, people: int, *, neighbours: int = 4, rewired: float = 0.15) -> list[tuple[int, int]]:
    """Return pairs of indexes below `people`, each pair once and with the lower index first, sorted.

    A ring in which everybody knows their nearest `neighbours`, and a share of the friendships lead somewhere else
    (Watts and Strogatz, "Collective dynamics of 'small-world' networks", 1998): many triangles, short ways.
    """
    pairs: dict[tuple[int, int], None] = {}
    for step in range(1, neighbours // 2 + 1):
        for person in range(people):
            other = (person + step) % people
            if rng.random() < rewired:
                other = rng.randrange(people)
            pair = (min(person, other), max(person, other))
            if person != other:
                pairs[pair] = None
    return sorted(pairs)
