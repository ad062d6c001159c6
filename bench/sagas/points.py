"""Each crash point by name, one at a time: a worker that kills itself exactly there while sagas run."""

from collections.abc import Callable, Iterator, Mapping

from bench.sagas.stand import Stand, kill, killed_itself
from streams.app import Role
from streams.runtime.faults import POINTS, VARIABLE, Point
from streams.supervisor import RoleProcess

SECONDS = 300  # a worker takes long to start where six servers share two cores with it
# The role deliver keeps no state, so it has no changelog and nothing to restore.
POINTS_OF: Mapping[Role, tuple[Point, ...]] = {
    "sagas": POINTS,
    "deliver": ("before-flush", "before-commit", "revoked"),
}


def kill_at_points(stand: Stand, workers: Mapping[Role, RoleProcess]) -> Iterator[str]:
    """Have the only worker of a role kill itself at each point, and start another one; yield what was killed where.

    Sagas must be begun all the while, else a point may not be reached.

    Args:
        stand: the installation.
        workers: the one of each role; it runs before and after.

    Raises:
        NotReached: a worker did not come to its point in time, or ended in another way.
    """
    for role, points in POINTS_OF.items():
        for point in points:
            worker = workers[role]
            kill(worker)
            stand.wait_for(lambda one=worker: one.pid is None, f"the {role} worker is dead", 20)
            victim = stand.start(role, **_environment(stand, point))
            if point == "revoked":  # by the coming of another worker, once it has something to give up
                first = FirstLook(lambda who=role: stand.committed(who))
                stand.wait_for(first.differs, f"{role} has partitions", SECONDS)
                worker.start()
            stand.wait_for(lambda one=victim: killed_itself(one), f"{role} kills itself at {point}", SECONDS)
            stand.leave(victim)
            if point != "revoked":
                worker.start()
            yield f"{role} at {point}"


class FirstLook:
    """A figure that only the victim changes; compared with what it was when it was looked at first."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._first: int | None = None

    def differs(self) -> bool:
        """Whether it is another one now."""
        found = self._look()
        if self._first is None:
            self._first = found
        return found != self._first


def _environment(stand: Stand, point: Point) -> Mapping[str, str]:
    match point:
        case "restoring":  # where it finds no state it must restore all of it; the first time may be the last
            return {VARIABLE: point, "TRAVELOS_DATA_DIR": stand.environment["TRAVELOS_DATA_DIR"] + "-empty"}
        case "revoked":  # the first time is its own coming, which takes nothing from it
            return {VARIABLE: f"{point}:2"}
        case _:
            return {VARIABLE: f"{point}:3"}
