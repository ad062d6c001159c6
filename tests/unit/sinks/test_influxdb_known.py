"""What the sink knows without asking, held against a bucket that is asked for everything."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, Outcome
from connectors.sinks.influxdb.known import FEW, Known
from connectors.sinks.influxdb.lines import Point, Series
from connectors.sinks.influxdb.merge import NOTHING, State, changed, without_stale_fields
from connectors.sinks.influxdb.subjects import subjects_of
from schemas.writes import TimeSeriesWrite

USERS = ("u1", "u2")
NAMES = ("lat", "lon")


def write(
    version: int,
    *,
    user: str = "u1",
    time_ns: int = 1,
    source: str = "gps",
    names: Sequence[str] = NAMES,
    delete: bool = False,
    repair: bool = False,
    entity: str | None = None,
) -> TimeSeriesWrite:
    return TimeSeriesWrite(
        entity=f"gps:{user}:{time_ns}" if entity is None else entity,
        version=version,
        source=source,
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        measurement="gps",
        tags={"user_id": user},
        time_ns=time_ns,
        op="delete" if delete else "upsert",
        fields={} if delete else dict.fromkeys(names, 1.0),
        repair=repair,
    )


WRITES = st.builds(
    write,
    st.integers(1, 6),
    user=st.sampled_from(USERS),
    time_ns=st.integers(1, 6),
    source=st.sampled_from(["gps", "gps", "import"]),
    names=st.sampled_from([NAMES, NAMES, NAMES[:1]]),
    delete=st.sampled_from([False, False, False, True]),
    repair=st.sampled_from([False] * 9 + [True]),
    entity=st.sampled_from([None] * 9 + ["another"]),
)


class Bucket:
    """What lies where."""

    def __init__(self) -> None:
        self.states: dict[Point, State] = {}
        self.names: dict[Point, set[str]] = {}

    def newest(self) -> Mapping[Series, int]:
        newest: dict[Series, int] = {}
        for point in self.states:
            series = Series(*point[:2])
            newest[series] = max(point.time_ns, newest.get(series, point.time_ns))
        return newest

    def takes_a_line(self, one: TimeSeriesWrite, point: Point) -> bool:
        """Whether a line, without any question, does what the write says."""
        state = self.states.get(point, NOTHING)
        if one.op == "delete" or one.repair:
            return state == NOTHING
        older = not state.live or (set(state.live) == {one.source} and state.live[one.source] < one.version)
        same = state.entity in (None, one.entity)
        return not state.buried and older and same and self.names.get(point, set()) <= set(one.fields)

    def apply(self, point: Point, writes: Sequence[TimeSeriesWrite]) -> Sequence[Outcome]:
        state, names = self.states.get(point, NOTHING), self.names.get(point, set())
        change = changed(state, writes)
        if change.again or all(outcome != APPLIED for outcome in change.outcomes):
            return change.outcomes
        if change.content is not None and state.present:
            change = without_stale_fields(change, state, names)
        live = dict(change.versions) if change.remove else {**state.live, **change.versions}
        self.states[point] = State(change.entity, live, state.buried if change.bury is None else change.bury)
        kept = set[str]() if change.remove else names
        self.names[point] = kept if change.content is None else kept | change.content.fields.keys()
        return change.outcomes


@given(
    before=st.lists(WRITES, max_size=4),
    batches=st.lists(st.lists(WRITES, min_size=1, max_size=5), max_size=10),
    points=st.integers(1, 6),
)
def test_what_is_not_asked_for_takes_a_line_and_nothing_else(
    before: Sequence[TimeSeriesWrite], batches: Sequence[Sequence[TimeSeriesWrite]], points: int
) -> None:
    bucket, known = Bucket(), Known(points)
    for one in before:
        subjects = subjects_of([one])
        point = subjects.point(0)
        assert point is not None
        bucket.apply(point, [one])
    for batch in batches:
        subjects = subjects_of(batch)
        known.learn(known.unknown(subjects.times), bucket.newest())
        asking = {Point(*series, moment) for series, times in known.asking(batch, subjects).items() for moment in times}
        outcomes: list[Outcome] = [APPLIED] * len(batch)
        places: dict[Point, list[int]] = {}
        for place in range(len(batch)):
            point = subjects.point(place)
            assert point is not None
            places.setdefault(point, []).append(place)
        others = {point for point in asking if point in bucket.states} | subjects.several.keys()
        for point, some in places.items():
            if point not in asking:
                assert len(some) == 1
                assert bucket.takes_a_line(batch[some[0]], point)
            for place, outcome in zip(some, bucket.apply(point, [batch[place] for place in some]), strict=True):
                outcomes[place] = outcome
        known.note(batch, subjects, outcomes, others)


def asked(known: Known, *batch: TimeSeriesWrite) -> int:
    """Return how many points are asked for of a batch, which is then applied."""
    subjects = subjects_of(batch)
    known.learn(known.unknown(subjects.times), {})
    count = sum(map(len, known.asking(batch, subjects).values()))
    known.note(batch, subjects, [APPLIED] * len(batch), ())
    return count


def test_points_in_any_order_are_asked_for_once_a_newer_version_loses_a_field_or_is_a_delete() -> None:
    known = Known()
    assert asked(known, *(write(1, time_ns=moment) for moment in (5, 9, 2))) == 0
    assert asked(known, write(2, time_ns=5), write(1, time_ns=7)) == 0
    assert asked(known, write(2, time_ns=5)) == 1
    assert asked(known, write(3, time_ns=9, names=NAMES[:1])) == 1
    assert asked(known, write(3, time_ns=2, delete=True)) == 1
    assert asked(known, write(4, time_ns=2)) == 1


def test_a_large_batch_is_remembered_by_its_end_and_what_comes_behind_it_is_not_asked_for() -> None:
    known = Known()
    assert asked(known, *(write(1, time_ns=moment) for moment in range(FEW + 1))) == 0
    assert asked(known, write(2, time_ns=FEW), write(1, time_ns=FEW + 1)) == 1


def test_a_large_batch_in_no_order_is_remembered_point_by_point() -> None:
    known = Known()
    assert asked(known, *(write(1, time_ns=2 * moment) for moment in range(FEW, -1, -1))) == 0
    assert asked(known, write(2, time_ns=2 * FEW), write(1, time_ns=1)) == 0


def test_what_was_longest_ago_is_asked_for_once_there_is_no_room_for_it() -> None:
    known = Known(points=10)
    assert asked(known, *(write(1, time_ns=moment) for moment in range(11))) == 0
    assert asked(known, write(2, time_ns=0), write(2, time_ns=10)) == 1


def test_nothing_is_known_after_somebody_else_has_written() -> None:
    known = Known()
    assert asked(known, write(1)) == 0
    known.forget()
    assert known.unknown(subjects_of([write(2)]).times) != []
