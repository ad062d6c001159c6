"""What becomes of a point, against a model: also when the process is killed between any two requests."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.conformance.model import Model, Step
from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome, Rejected
from connectors.sinks.influxdb.merge import NOTHING, Latest, State, changed, unless_other, without_stale_fields
from schemas.writes import TimeSeriesWrite

STEPS = st.builds(
    Step,
    entity=st.just("e"),
    source=st.sampled_from(["one", "one", "two"]),
    version=st.integers(0, 9),
    content=st.integers(0, 1_000),
    deleted=st.booleans(),
)


def write(
    version: int, source: str = "one", *, delete: bool = False, entity: str = "e", **fields: Any
) -> TimeSeriesWrite:
    return TimeSeriesWrite(
        entity=entity,
        version=version,
        source=source,
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        op="delete" if delete else "upsert",
        measurement="gps",
        tags={},
        time_ns=5,
        fields=fields or {"content": version},
    )


class KilledError(Exception):
    pass


class Store:
    """One point of an InfluxDB: a line adds to what is there, a removal takes all of it."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.live: dict[str, int] = {}
        self.buried: dict[str, Latest] = {}
        self.requests_left = 1_000

    def state(self) -> State:
        return State("e" if self.live or self.buried else None, dict(self.live), dict(self.buried))

    def request(self) -> None:
        self.requests_left -= 1
        if self.requests_left < 0:
            raise KilledError

    def write(self, writes: list[TimeSeriesWrite]) -> list[Outcome]:
        """In the order of the sink: trial, tombstone, removal, content."""
        change = unless_other(changed(self.state(), writes), self.fields)
        if not change.again:
            change = without_stale_fields(change, self.state(), self.fields.keys())
        if change.remove and change.content is not None:
            self.request()
            self.fields |= change.content.fields
        if change.bury:
            self.request()
            self.buried |= change.bury
        if change.remove:
            self.request()
            self.fields, self.live = {}, {}
        if change.content is not None:
            self.request()
            self.fields |= change.content.fields
            self.live |= change.versions
        return list(change.outcomes)


def of(step: Step) -> TimeSeriesWrite:
    # Each content has a field of its own, so that one that should be gone is seen.
    fields: dict[str, Any] = {"content": step.content, f"only_{step.content % 3}": 1}
    return write(step.version, step.source, delete=step.deleted, **fields)


@given(batches=st.lists(st.lists(STEPS, max_size=6), max_size=6))
def test_a_point_is_what_a_model_says(batches: list[list[Step]]) -> None:
    store, model = Store(), Model()
    for batch in batches:
        assert store.write([of(step) for step in batch]) == [model.apply(step) for step in batch]
        assert_like(store, model)


@given(
    batches=st.lists(st.lists(STEPS, min_size=1, max_size=4), max_size=6),
    kills=st.lists(st.integers(0, 4), max_size=12),
)
def test_a_batch_that_was_killed_halfway_ends_the_same_when_it_is_sent_again(
    batches: list[list[Step]], kills: list[int]
) -> None:
    store, model = Store(), Model()
    for batch in batches:
        for step in batch:
            model.apply(step)
        while kills:
            store.requests_left = kills.pop()
            try:
                store.write([of(step) for step in batch])
            except KilledError:
                continue
            break
        store.requests_left = 1_000
        store.write([of(step) for step in batch])
        assert_like(store, model)


def assert_like(store: Store, model: Model) -> None:
    state = store.state()
    assert {("e", source): tuple(one) for source, one in state.latest().items()} == model.versions
    content = model.contents.get("e")
    assert not state.leftover
    if content is None:
        assert store.fields == {}
    else:
        assert store.fields == {"content": content, f"only_{content % 3}": 1}


def test_the_first_entity_at_a_point_keeps_it() -> None:
    change = changed(NOTHING, [write(1), write(2, entity="another")])
    assert change.outcomes[0] == APPLIED
    assert isinstance(change.outcomes[1], Rejected)
    later = changed(State("e", {"one": 1}), [write(2, entity="another", source="two")])
    assert isinstance(later.outcomes[0], Rejected)
    assert "`entity`" in later.outcomes[0].reason


def test_the_same_fields_are_written_over_without_a_removal() -> None:
    state = State("e", {"one": 1})
    change = without_stale_fields(changed(state, [write(2, lat=1.0)]), state, {"lat"})
    assert (change.remove, change.bury) == (False, None)


def test_a_removal_that_was_interrupted_is_done_again_even_if_nothing_is_new() -> None:
    state = State("e", {"one": 1}, {"one": Latest(2, deleted=True)})
    change = changed(state, [write(2, delete=True)])
    assert change.outcomes == [SUPERSEDED]
    assert change.remove


def test_what_can_be_read_already_is_said_again_as_it_is_and_superseded() -> None:
    state = State("e", {"one": 3}, {"two": Latest(1, deleted=True)})
    change = unless_other(changed(state, [write(2), write(3)]), {"content": 3})
    assert change.outcomes == [SUPERSEDED, SUPERSEDED]
    assert (change.content, change.versions, change.bury, change.remove) == (write(3), {"one": 3}, None, False)


def test_what_is_older_or_has_another_content_than_what_lies_there_is_not_said_again() -> None:
    state = State("e", {"one": 3, "two": 7})
    assert changed(state, [write(2)]).content is None
    assert unless_other(changed(state, [write(3)]), {"content": 7}).content is None


def test_a_delete_is_remembered_again_without_what_came_after_it() -> None:
    state = State("e", {"two": 7}, {"one": Latest(5, deleted=True)})
    change = changed(state, [write(5, delete=True)])
    assert (change.outcomes, change.bury, change.remove) == ([SUPERSEDED], {"one": Latest(5, deleted=True)}, False)
