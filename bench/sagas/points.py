"""Each crash point by name, one at a time: a worker that kills itself exactly there while sagas run."""

from collections.abc import Iterator, Mapping

from bench.sagas.stand import Stand, kill, killed_itself
from streams.app import Role
from streams.runtime.faults import POINTS, VARIABLE, Point
from streams.supervisor import RoleProcess

SECONDS = 120
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
            before = stand.committed(role)
            victim = stand.start(role, **_environment(stand, point))
            if point == "revoked":  # by the coming of another worker, once it has something to give up
                stand.wait_for(
                    lambda who=role, then=before: stand.committed(who) > then, f"{role} has partitions", SECONDS
                )
                worker.start()
            stand.wait_for(lambda one=victim: killed_itself(one), f"{role} kills itself at {point}", SECONDS)
            stand.leave(victim)
            if point != "revoked":
                worker.start()
            yield f"{role} at {point}"


def _environment(stand: Stand, point: Point) -> Mapping[str, str]:
    match point:
        case "restoring":  # where it finds no state it must restore all of it; the first time may be the last
            return {VARIABLE: point, "TRAVELOS_DATA_DIR": stand.environment["TRAVELOS_DATA_DIR"] + "-empty"}
        case "revoked":  # the first time is its own coming, which takes nothing from it
            return {VARIABLE: f"{point}:2"}
        case _:
            return {VARIABLE: f"{point}:3"}
