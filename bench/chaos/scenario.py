"""What a scenario is, and what it comes to."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from bench.chaos.checker import Findings
from bench.chaos.trial import Trial
from bench.report import Figure
from bench.stores.servers import KINDS
from streams.runtime.app import SESSION_SECONDS


class Size(Struct, frozen=True, kw_only=True):
    """How large a scenario is. What a scenario has no use for is left out."""

    events: int
    times: int = 1  # kills, rounds, hangs, ...
    seconds: float = 0.0  # how long something is stopped, away or kept up
    stores: tuple[str, ...] = tuple(KINDS)
    session: float = SESSION_SECONDS  # after how many seconds the group takes a silent worker for dead


class Outcome(Struct, frozen=True):
    """What a scenario came to: what does not add up, and figures of its own."""

    findings: Findings
    figures: Sequence[Figure] = ()


class Scenario(Struct, frozen=True, kw_only=True):
    """A scenario in its full and its short form, which is missing where that of another one shows as much."""

    name: str
    run: Callable[[Trial, Size], Outcome]
    full: Size
    short: Size | None
    about_stores: bool = False


def exactly_none(name: str, value: int) -> Figure:
    """Return a figure that has to be 0."""
    return Figure(name=name, value=value, unit="", bar=0, lower_is_better=True)


def at_least_one(name: str, value: int) -> Figure:
    """Return a figure that shows that something happened at all."""
    return Figure(name=name, value=value, unit="", bar=1)
