"""What the metrics of conflicts tell of how soon is agreed."""

from typing import Any

from streams.conflicts.strategies import manual
from tests.unit.agents.test_reconciling import NOW, ROW, World


async def test_how_long_a_change_took_until_what_is_agreed_was_sent_is_told_once_for_each_that_was_agreed(
    stage: Any,
) -> None:
    world = World(stage, manual)

    def told(part: str, **labels: str) -> float | None:
        return world.registry.get_sample_value(f"stream_conflict_agreement_seconds_{part}", {"type": "place", **labels})

    await world.take(world.said("app", 1, at_ms=NOW - 300, phone="1"))  # NOW + 200 by the worker's clock
    assert (told("count"), told("sum")) == (1, 0.5)
    await world.take(world.said("app", 1, phone="1"), world.said("crm", 1, phone="1"))
    await world.take(world.said("erp", 1, at_ms=NOW, phone="2"))
    assert told("count") == 1  # superseded, an echo, undecided: nothing new is agreed
    (waits,) = world.conflicts()
    await world.take(world.decided(waits, ROW))
    assert (told("count"), told("sum")) == (2, 0.5)
    await world.take(world.said("ahead", 1, at_ms=NOW + 9_000, phone="3"))
    assert (told("count"), told("sum"), told("bucket", le="0.5")) == (3, 0.5, 3)
