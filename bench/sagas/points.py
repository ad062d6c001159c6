"""Each crash point by name, one at a time: a worker that kills itself exactly there while sagas run."""

from collections.abc import Callable, Iterator, Mapping

from bench.sagas.stand import Stand, kill, killed_itself
from streams.app import Role
from streams.runtime.faults import POINTS, VARIABLE, Point
from streams.supervisor import RoleProcess

SECONDS = 300  # a worker takes long to start where six servers share two cores with it
OF_STORES: tuple[Point, ...] = ("before-store-write", "after-store-write")
POINTS_OF: Mapping[Role, tuple[Point, ...]] = {
    "sagas": tuple(point for point in POINTS if point not in OF_STORES),
    # The role deliver keeps no state, so it has no changelog and nothing to restore.
    "deliver": ("before-flush", "before-commit", "revoked", *OF_STORES),
}
TIME = 3  # that a point is reached, for the worker to kill itself


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
            kill_at(stand, role, point, worker)
            yield f"{role} at {point}"


def kill_at(
    stand: Stand,
    role: Role,
    point: Point,
    successor: RoleProcess,
    *,
    time: int = TIME,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Start the only worker of a role, which kills itself at a point, and have another one run in its place.

    Args:
        stand: the installation; no worker of the role runs.
        role: whose worker it is.
        point: at which it kills itself.
        successor: runs in its place then; it is started.
        time: that it is reached, where any of them will do.
        meanwhile: begins the sagas which it is to see to, unless they are begun all the while.

    Raises:
        NotReached: the worker did not come to its point in time, or ended in another way.
    """
    progress = FirstLook(lambda: stand.committed(role))
    stand.wait_for(progress.taken, f"what {role} has committed is known", SECONDS)
    victim = stand.start(role, **_environment(stand, point, time))
    meanwhile()
    if point == "revoked":  # by the coming of another worker, once it has something to give up
        stand.wait_for(progress.differs, f"{role} has partitions", SECONDS)
        successor.start()
    stand.wait_for(lambda: killed_itself(victim), f"{role} kills itself at {point}", SECONDS)
    stand.leave(victim)
    if point != "revoked":
        successor.start()


class FirstLook:
    """A figure that only the victim changes; compared with what it was when it was looked at first."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._first: int | None = None

    def taken(self) -> bool:
        """Take the first look, and say that it was."""
        self._first = self._look()
        return True

    def differs(self) -> bool:
        """Whether it is another one now."""
        return self._look() != self._first


def _environment(stand: Stand, point: Point, time: int) -> Mapping[str, str]:
    match point:
        case "restoring":  # where it finds no state it must restore all of it; the first time may be the last
            return {VARIABLE: point, "TRAVELOS_DATA_DIR": stand.environment["TRAVELOS_DATA_DIR"] + "-empty"}
        case "revoked":  # the first time is its own coming, which takes nothing from it
            return {VARIABLE: f"{point}:2"}
        case _:
            return {VARIABLE: f"{point}:{time}"}
