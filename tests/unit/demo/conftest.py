from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from streams.demo.tables import load_places, load_restaurants
from streams.demo.world import World, generate


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture(scope="session")
def make_world(now: datetime) -> Callable[[int, int], World]:
    restaurants, places = load_restaurants().rows, load_places().rows
    return lambda seed, count: generate(seed=seed, now=now, count=count, restaurants=restaurants, places=places)


@pytest.fixture(scope="session")
def world(make_world: Callable[[int, int], World]) -> World:
    return make_world(7, 12_000)


@pytest.fixture(scope="session")
def small_world(make_world: Callable[[int, int], World]) -> World:
    return make_world(3, 1)
