"""Fault points: places at which a worker kills itself when it is told to, so that tests can kill it exactly there."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Literal, NoReturn, get_args

VARIABLE = "TRAVELOS_FAULT_POINT"

Point = Literal[
    "before-flush",  # a batch is processed, and what follows from it queued; nothing waits for the brokers yet
    "before-changelog",  # its outputs are acknowledged, its state changes not yet sent
    "between-changelogs",  # the tables that have to be durable first are, in their changelogs; the others are not
    "before-store",  # the changelog has them, the local store not
    "before-commit",  # all of that is durable; the offsets are not committed
    "restoring",  # a part of a changelog was read and not applied
    "revoked",  # in a rebalance, when the old partitions are given up and the new ones not known
    "before-store-write",  # of deliver: what would undo writes is told where it has to be; the store has none of them
    "after-store-write",  # of deliver: the store has them, and no receipt says so
]
POINTS: tuple[Point, ...] = get_args(Point)
ErasurePoint = Literal[
    "between-deletes",  # of the role erasure: some deletes are sent, the others not
    "between-tombstones",  # the same of tombstones in compacted topics
    "between-objects",  # something was found in an object of the archive, and that is not written anew yet
    "between-purges",  # some stores have rewritten their files, the others not
    "before-certificate",  # its file is written; the topic has it not
    "before-end",  # the person's key is one to start afresh with, where the policy says so; nobody is told
]
ERASURE_POINTS: tuple[ErasurePoint, ...] = get_args(ErasurePoint)


class WrongFaultPoint(ValueError):  # noqa: N818 - says what is wrong
    """The environment variable names no fault point; a typing mistake must not look like a test that passed."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"{VARIABLE}={given!r} is none of {', '.join((*POINTS, *ERASURE_POINTS))}; "
            "add :N (1 or more) to mean the N-th time that it is reached"
        )


def die() -> NoReturn:
    """End this process as kill -9 does: nothing is flushed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


class FaultPoints:
    """The one fault point that is on, if any. A point that is off costs a comparison.

    Args:
        point: the point; None for none.
        time: it kills when it is reached for this time (from 1).
        kill: what ends the process.
    """

    def __init__(self, point: str | None = None, *, time: int = 1, kill: Callable[[], object] = die) -> None:
        if (point is not None and point not in (*POINTS, *ERASURE_POINTS)) or time < 1:
            raise WrongFaultPoint(f"{point}:{time}")
        self._point = point
        self._left = time
        self._kill = kill

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "FaultPoints":
        """Return those that `TRAVELOS_FAULT_POINT` asks for: `before-flush`, or `before-flush:3`.

        Raises:
            WrongFaultPoint: there is no such point.
        """
        given = environment.get(VARIABLE)
        if not given:
            return cls()
        point, colon, time = given.partition(":")
        if point not in (*POINTS, *ERASURE_POINTS) or (colon and not time.isdecimal()):
            raise WrongFaultPoint(given)
        return cls(point, time=int(time or 1))

    def reach(self, point: Point | ErasurePoint) -> None:
        """Tell that a point is reached; does not return when it is the one that is on, and its time has come."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self._kill()
