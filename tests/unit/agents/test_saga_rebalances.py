"""Timers of sagas while partitions change hands: those that stay, those that move, and those that come back."""

import random
from collections.abc import Sequence

import pytest

from schemas.writes import store_of
from streams.agents import sagas
from streams.runtime.publisher import Outgoing
from streams.sagas.line import Line
from tests.unit.agents.saga_world import World, pair

BOTH = [("cache", "pair:1"), ("search", "pair:1")]


def asked(world: World) -> list[tuple[str, str]]:
    """Return the writes that were sent since this was asked last."""
    found = [(store_of(write), write.entity) for write in world.sent()]
    world.stage.kafka.calls.clear()
    return found


def due(world: World) -> list[str]:
    """Return the subjects whose time has come."""
    lines: dict[str, Line] = world.stage.state(world.tables.lines)
    return [subject for subject, line in lines.items() if line.due_ms is not None and line.due_ms <= world.now]


async def test_a_partition_that_stays_has_its_timers_fire_in_time_and_nothing_asked_for_again(world: World) -> None:
    await world.later(0)
    await world.take(world.start(pair()))
    asked(world)
    world.ours = []
    await world.later(500)
    world.ours = [0]
    await world.later(499)
    assert asked(world) == []
    await world.later(1)
    assert asked(world) == BOTH


async def test_what_falls_due_while_partitions_change_hands_fires_as_soon_as_they_have(world: World) -> None:
    await world.later(0)
    await world.take(world.start(pair()))
    asked(world)
    world.ours = []
    await world.later(1_500)
    assert asked(world) == []
    world.ours = [0]
    await world.later(0)
    assert asked(world) == BOTH


async def test_a_partition_that_moves_is_asked_for_again_and_fires_in_time_where_it_came(world: World) -> None:
    await world.later(0)
    await world.take(world.start(pair()))
    asked(world)
    world.coordinator = world.another()
    await world.later(500)
    assert asked(world) == BOTH, "whoever had it may have died asking"
    await world.later(499)
    assert asked(world) == []
    await world.later(1)
    assert asked(world) == BOTH


async def test_a_partition_that_comes_back_after_somebody_else_decided_in_it_is_read_again(world: World) -> None:
    await world.later(0)
    await world.take(world.start(pair()))
    had_it, world.ours = world.coordinator, [1]
    await world.later(0)
    world.coordinator, world.ours = world.another(), [0]
    await world.later(1_000)
    await world.later(0)  # sends again; from here on the pauses are longer
    had_it.overtaken(0)
    world.coordinator = had_it
    asked(world)
    await world.later(0)
    assert asked(world) == BOTH
    await world.later(1_999)
    assert asked(world) == []
    await world.later(1)
    assert asked(world) == BOTH


async def test_firing_ends_when_partitions_begin_to_change_hands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas, "FIRED_AT_ONCE", 3)
    await world.later(0)
    await world.take(*(world.start(pair(500, f"pair:{number}")) for number in range(9)))
    asked(world)

    def begins(_sent: Sequence[Outgoing]) -> None:
        world.ours = []

    world.stage.kafka.fails = begins
    await world.later(1_000)
    assert len(asked(world)) == 2 * 3


@pytest.mark.parametrize("seed", range(8))
async def test_after_each_look_nothing_is_due_whoever_had_the_partition_and_what_stays_is_not_asked_for(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    mine, other = world.another(), world.another()
    world.coordinator = mine
    await world.later(0)
    begun = 0
    for _ in range(60):
        match chance.choice(["begin", "wait", "wait", "stays", "moves"]):
            case "begin":
                begun += 1
                await world.take(world.start(pair(500, f"pair:{begun}")))
            case "wait":
                world.now += chance.randrange(900)
            case "stays":
                asked(world)
                world.ours = []
                await world.later(0)
                world.ours = [0]
                await world.later(0)
                assert asked(world) == []
            case _:
                mine, other = other, mine
                mine.overtaken(0)  # what it restores tells it so
                world.coordinator = mine
                await world.later(0)  # takes over
        await world.later(0)
        assert due(world) == []
