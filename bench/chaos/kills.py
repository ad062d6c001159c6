"""Workers that are killed: at random moments, and exactly at the fault points."""

from bench.chaos.scenario import Outcome, Size
from bench.chaos.trial import Trial, Worker
from bench.report import Figure
from streams.runtime.faults import POINTS, VARIABLE, Point

WORKERS = 3
IN_PROGRESS = 0.7  # of the kills fall while events are processed; the others anywhere, in rebalances and restores too
ANYWHERE_SECONDS = 4.0
# It kills at one of the first so many times that a point is reached; at a restore the first time may be the last.
TIMES = {"before-flush": 20, "before-changelog": 20, "before-store": 20, "before-commit": 3}
# Reached only where one table has to be durable before others, as those of sagas are, and in the role deliver: tests of
# sagas kill there.
ELSEWHERE: tuple[Point, ...] = ("between-changelogs", "before-store-write", "after-store-write")
FEED = 500  # events that are always on their way to a worker that is to kill itself while it processes some


def kill_at_random(trial: Trial, size: Size) -> Outcome:
    """Kill -9 a random worker of two or three, again and again, while events come in."""
    for _ in range(WORKERS):
        trial.start()
    share = size.events // (size.times + 1)
    trial.load.up_to(share)
    trial.wait_for_progress(1)
    for number in range(1, size.times + 1):
        trial.load.up_to(share * (number + 1) if number < size.times else size.events)
        if trial.random.random() < IN_PROGRESS:
            trial.wait_for_progress(trial.random.randrange(1, share // 2 + 2))
        else:
            trial.pause(trial.random.uniform(0, ANYWHERE_SECONDS))
        trial.kill(trial.random.choice(trial.alive()))
        # Now and then one is missing for a while.
        wanted = trial.random.choice((WORKERS - 1, WORKERS, WORKERS))
        while len(trial.alive()) < wanted:
            trial.start()
        if number % 5 == 0 or number == size.times:
            trial.note(f"{number} workers killed; {trial.state()}")
    findings = trial.finish()
    return Outcome(findings, [Figure(name="kills", value=len(trial.losses), unit="", bar=size.times)])


def kill_at_fault_points(trial: Trial, size: Size) -> Outcome:
    """Have a worker kill itself exactly at each fault point, `times` times, while another one works on."""
    trial.start()
    trial.load.up_to(size.events)
    trial.wait_for_progress(1)
    points: list[Point] = [point for point in POINTS if point not in ELSEWHERE for _ in range(size.times)]
    for point in points:
        victim = _start_victim(trial, point)
        trial.note_death(victim, point)
        trial.note(f"{victim.name} killed itself at {point}")
    findings = trial.finish()
    return Outcome(findings, [Figure(name="deaths at fault points", value=len(trial.losses), unit="", bar=len(points))])


def _start_victim(trial: Trial, point: Point) -> Worker:
    """Start a worker that kills itself at a point, and see to it that it gets there."""
    match point:
        case "restoring":  # in a folder of its own it finds no state, and must restore all of it
            return trial.start(folder=f"empty-{len(trial.workers)}", **{VARIABLE: point})
        case "revoked":  # the first time is its own coming, which takes nothing from it; the second that of another one
            victim = trial.start(**{VARIABLE: f"{point}:2"})
            trial.wait_for(lambda: trial.owners().get(victim.name), f"{victim.name} has partitions")
            trial.start()
            return victim
        case _:
            victim = trial.start(**{VARIABLE: f"{point}:{trial.random.randint(1, TIMES[point])}"})

    def dead() -> bool:
        trial.load.up_to(trial.load.produced + FEED)
        return not victim.alive

    trial.wait_for(dead, f"{victim.name} kills itself")
    return victim
