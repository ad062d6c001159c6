"""What travels in a chaos trial: events in, and what is told of each."""

from typing import Literal, NamedTuple

from msgspec import Struct

# What an event does to the worker that processes it. All but `pause` are set aside in the end; `pause` and `block`
# stand for a store that hangs: one under an asynchronous client, one under a client that blocks.
Does = Literal["", "fail", "die", "pause", "block"]
GOOD: frozenset[Does] = frozenset({"", "pause", "block"})


class Event(Struct, frozen=True, array_like=True):
    """An input record. `seq` counts the events of its key from 1; 0 for one that is to be set aside."""

    event: int
    seq: int
    does: Does = ""


class Told(Struct, frozen=True, array_like=True):
    """An output record: what a worker tells of an input record."""

    event: int
    seq: int
    count: int  # of the events of the key, this one included
    offset: int  # of the input record
    worker: str


class Sent(NamedTuple):
    """An input record that the brokers acknowledged, with its place. One event may be sent several times."""

    event: int
    key: str
    seq: int
    partition: int
    offset: int

    @property
    def good(self) -> bool:
        """Whether it is to be processed, rather than set aside."""
        return self.seq > 0


class Output(NamedTuple):
    """An output record, with its place; it is in the same partition as the input record that it tells of."""

    key: str
    partition: int
    offset: int
    told: Told


class Stored(NamedTuple):
    """A value of a state table and the input offset that last changed it."""

    value: int
    position: int
