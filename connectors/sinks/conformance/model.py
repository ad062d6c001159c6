"""What a store should hold, kept in two dictionaries."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome


class Step(NamedTuple):
    """One write of a history."""

    entity: str
    source: str
    version: int
    content: int
    deleted: bool


class Model:
    """The newest version of each entity and source, and the content that was written last."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], tuple[int, bool]] = {}
        self.contents: dict[str, int | None] = {}

    def apply(self, step: Step) -> Outcome:
        """Apply a step and return the outcome a sink must give."""
        known = self.versions.get((step.entity, step.source))
        if known is not None and known[0] >= step.version:
            return SUPERSEDED
        self.versions[step.entity, step.source] = (step.version, step.deleted)
        self.contents[step.entity] = None if step.deleted else step.content
        return APPLIED

    def of_one_source(self, entity: str) -> bool:
        """Whether one source alone has spoken of an entity: only then do versions say what its content is."""
        return sum(1 for known, _ in self.versions if known == entity) == 1


def histories(entities: list[str], sources: list[str]) -> st.SearchStrategy[list[list[Step]]]:
    """Return histories in batches: versions in any order, repeated, of several sources, with deletes."""
    step = st.builds(
        Step,
        entity=st.sampled_from(entities),
        source=st.sampled_from(sources),
        version=st.integers(0, 12),
        content=st.integers(0, 1_000_000),
        deleted=st.booleans() if len(sources) > 1 else st.sampled_from([False, False, True]),
    )
    return st.lists(st.lists(step, max_size=8), max_size=8)


def endless_history(seed: int, source: str, entities: int = 40) -> Iterator[Step]:
    """Yield a history without end that is the same for the same seed; its versions rise, but not steadily."""
    rng = random.Random(seed)
    position = 0
    while True:
        position += 1
        version = max(0, position + rng.randint(-50, 50))
        yield Step(f"entity-{rng.randrange(entities)}", source, version, version, deleted=version % 7 == 0)
