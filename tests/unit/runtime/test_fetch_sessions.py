"""A session of fetches, beside a broker that keeps it or does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.fetch_sessions import FORGOTTEN, OUT_OF_STEP, FetchSession
from tests.unit.runtime.fetch_broker import SessionBroker

partitions = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3)), st.tuples(st.integers(0, 2), st.integers(1, 2))
)
happening = st.sampled_from(["answered", "lost on the way there", "lost on the way back", "forgotten", "refused"])


def topics(wanted: dict[tuple[str, int], tuple[int, int]]) -> list[tuple[str, list[tuple[int, int, int]]]]:
    names = sorted({topic for topic, _ in wanted})
    return [(name, [(number, *what) for (topic, number), what in wanted.items() if topic == name]) for name in names]


@given(st.lists(st.tuples(partitions, happening)))
def test_a_broker_answers_for_what_is_wanted_whatever_becomes_of_requests_and_sessions(
    steps: list[tuple[dict[tuple[str, int], tuple[int, int]], str]],
) -> None:
    session, broker = FetchSession(), SessionBroker()
    for wanted, what in steps:
        broker.refuses = what == "refused"
        if what == "forgotten":
            broker.forget()
        asked = session.ask(topics(wanted))
        if what == "lost on the way there":
            session.lost()
            continue
        error, number = broker.take(asked)
        if what == "lost on the way back":
            session.lost()
            continue
        if not session.answered(error, number):
            assert asked.epoch, "only a request that goes on with a session can be refused for it"
            asked = session.ask(topics(wanted))
            assert session.answered(*broker.take(asked))
        assert broker.wanted == wanted


def test_what_stays_the_same_is_not_said_again() -> None:
    session = FetchSession()
    first = session.ask([("a", [(0, 5, 100), (1, 6, 100)]), ("b", [(0, 7, 100)])])
    assert (first.session, first.epoch, first.forgotten) == (0, 0, {})
    assert first.topics == {"a": [(0, 5, 100), (1, 6, 100)], "b": [(0, 7, 100)]}
    assert session.answered(0, 42)
    second = session.ask([("a", [(0, 5, 100), (1, 9, 100)])])
    assert second == (42, 1, {"a": [(1, 9, 100)]}, {"b": [0]})
    assert session.answered(0, 42)
    assert session.ask([("a", [(0, 5, 100), (1, 9, 100)])]) == (42, 2, {}, {})


@pytest.mark.parametrize(("error", "named"), [(FORGOTTEN, 0), (OUT_OF_STEP, 42)])
def test_a_session_that_the_broker_does_not_know_any_more_begins_anew(error: int, named: int) -> None:
    session = FetchSession()
    session.ask([("a", [(0, 5, 100)])])
    session.answered(0, 42)
    session.ask([("a", [(0, 6, 100)])])
    assert not session.answered(error, 0)
    asked = session.ask([("a", [(0, 6, 100)])])
    assert asked == (named, 0, {"a": [(0, 6, 100)]}, {})


def test_epochs_go_round_without_beginning_anew() -> None:
    session = FetchSession()
    session.ask([("a", [(0, 5, 100)])])
    session.answered(0, 42)
    session._epoch = 2**31 - 1  # pyright: ignore[reportPrivateUsage] - after a year
    session.answered(0, 42)
    assert session.ask([]).epoch == 1
