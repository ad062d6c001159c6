from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.conflicts.canonical import digest
from streams.conflicts.claims import Claim, Content
from streams.conflicts.settle import WINDOW_MS, Decision, Entity, NothingToDecide, decide, take
from streams.conflicts.strategies import (
    Strategy,
    highest_confidence,
    last_write_wins,
    manual,
    merge,
    regional_priority,
    rollback,
)

STRATEGIES: list[Strategy] = [
    last_write_wins,
    highest_confidence,
    merge(["tags"]),
    regional_priority(["kr", "us"]),
]
VALUES = st.none() | st.fixed_dictionaries({"x": st.integers(0, 2), "tags": st.lists(st.integers(0, 2), max_size=2)})


def said(source: str, version: int, content: Content | None, at_ms: int = 1_000, **more: Any) -> Claim:
    return Claim(source=source, version=version, at_ms=at_ms, content=content, **more)


def heard(*claims: Claim, strategy: Strategy = last_write_wins) -> Decision:
    decision = Decision(Entity(), "superseded")
    for claim in claims:
        decision = take(decision.entity, claim, strategy)
    return decision


def content(decision: Decision) -> Content | None:
    assert decision.entity.agreed is not None
    return decision.entity.agreed.content


def test_the_first_claim_is_agreed_and_its_repetition_is_superseded() -> None:
    decision = heard(said("crm", 7, {"x": 1}))
    assert (decision.outcome, content(decision)) == ("applied", {"x": 1})
    for version in (7, 6):
        again = take(decision.entity, said("crm", version, {"x": 9}), last_write_wins)
        assert (again.outcome, again.entity) == ("superseded", decision.entity)


def test_the_same_content_from_another_source_is_an_echo_and_leaves_the_version() -> None:
    first = heard(said("crm", 7, {"x": 1, "y": 2}))
    echo = take(first.entity, said("app", 1, {"y": 2.0, "x": 1}), last_write_wins)
    assert echo.outcome == "echo"
    assert echo.entity.agreed is not None
    assert first.entity.agreed is not None
    assert echo.entity.agreed.version == first.entity.agreed.version


def test_a_source_that_held_what_is_agreed_changes_it_without_conflict_however_soon() -> None:
    decision = heard(said("crm", 1, {"x": 1}), said("app", 1, {"x": 1}), said("app", 2, {"x": 2}), strategy=manual)
    assert (decision.outcome, content(decision)) == ("applied", {"x": 2})


@pytest.mark.parametrize(("base", "outcome"), [({"x": 1}, "applied"), ({"x": 0}, "undecided")])
def test_a_source_that_tells_what_it_changed_is_believed(base: Content, outcome: str) -> None:
    change = said("app", 1, {"x": 2}, base=digest(base))
    assert heard(said("crm", 1, {"x": 1}), change, strategy=manual).outcome == outcome


@pytest.mark.parametrize(
    ("later", "outcome"), [(WINDOW_MS - 1, "undecided"), (WINDOW_MS, "applied"), (-9_999, "undecided")]
)
def test_without_that_changes_within_a_window_of_time_contradict_each_other(later: int, outcome: str) -> None:
    first = said("crm", 1, {"x": 1}, at_ms=10_000)
    assert heard(first, said("app", 1, {"x": 2}, at_ms=10_000 + later), strategy=manual).outcome == outcome


@st.composite
def beside_each_other(draw: st.DrawFn) -> list[Claim]:
    """One claim of each of some sources, within the window."""
    return [
        said(
            source,
            1,
            draw(VALUES),
            at_ms=draw(st.integers(1_000, 1_003)),
            confidence=draw(st.sampled_from([0.5, 1.0])),
            region=draw(st.sampled_from(["kr", "us", ""])),
        )
        for source in draw(st.sampled_from(["ab", "abc", "abcd"]))
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(claims=beside_each_other())
def test_whichever_claim_comes_first_all_agree_on_the_same(strategy: Strategy, claims: list[Claim]) -> None:
    found = {digest(content(heard(*order, strategy=strategy))) for order in permutations(claims)}
    assert len(found) == 1


def test_claims_that_are_further_apart_than_a_window_settle_by_the_order_in_which_they_come() -> None:
    first = said("a", 1, {"x": 1}, at_ms=10_000, confidence=0.9)
    second = said("b", 1, {"x": 2}, at_ms=10_000 + WINDOW_MS - 1, confidence=0.5)
    third = said("c", 1, {"x": 3}, at_ms=10_000 + WINDOW_MS, confidence=0.5)
    assert content(heard(first, second, third, strategy=highest_confidence)) == {"x": 1}
    assert content(heard(first, third, second, strategy=highest_confidence)) == {"x": 3}


def test_a_rollback_stays_with_what_came_first() -> None:
    one, other = said("a", 1, {"x": 1}), said("b", 1, {"x": 2})
    assert content(heard(one, other, strategy=rollback)) == {"x": 1}
    assert content(heard(other, one, strategy=rollback)) == {"x": 2}


@given(claims=beside_each_other(), strategy=st.sampled_from([*STRATEGIES, manual, rollback]))
def test_versions_of_what_is_agreed_rise_with_each_change_and_with_nothing_else(
    claims: list[Claim], strategy: Strategy
) -> None:
    entity, version = Entity(), 0
    for claim in claims:
        decision = take(entity, claim, strategy)
        entity = decision.entity
        assert entity.agreed is not None
        if decision.outcome in ("applied", "settled", "taken back"):
            assert entity.agreed.version > version
        else:
            assert entity.agreed.version == version
        version = entity.agreed.version


def test_while_somebody_has_to_decide_the_last_agreed_content_stands() -> None:
    decision = heard(said("crm", 1, {"x": 1}), said("app", 1, {"x": 2}), said("app", 2, {"x": 3}), strategy=manual)
    assert (decision.outcome, content(decision)) == ("undecided", {"x": 1})
    assert [claim.content for claim in decision.conflict] == [{"x": 3}, {"x": 1}]
    settled = decide(decision.entity, {"x": 3})
    assert settled.agreed is not None
    assert (settled.agreed.content, settled.undecided) == ({"x": 3}, ())
    with pytest.raises(NothingToDecide, match="somebody else has decided"):
        decide(settled, {"x": 4})


def test_sources_that_come_to_say_the_same_need_nobody_to_decide() -> None:
    decision = heard(said("crm", 1, {"x": 1}), said("app", 1, {"x": 2}), said("crm", 2, {"x": 2}), strategy=manual)
    assert (decision.outcome, content(decision), decision.entity.undecided) == ("settled", {"x": 2}, ())


def test_a_rollback_says_the_last_agreed_content_again_so_that_both_sources_hear_it() -> None:
    first = heard(said("crm", 1, {"x": 1}), strategy=rollback)
    decision = take(first.entity, said("app", 1, {"x": 2}), rollback)
    assert (decision.outcome, content(decision)) == ("taken back", {"x": 1})
    assert [claim.source for claim in decision.conflict] == ["app", "crm"]


def test_a_delete_is_a_claim_like_any_other() -> None:
    assert content(heard(said("crm", 1, {"x": 1}), said("crm", 2, None))) is None
    assert content(heard(said("crm", 1, {"x": 1}, at_ms=1), said("app", 1, None, at_ms=2))) is None
    assert content(heard(said("crm", 1, {"x": 1}, at_ms=2), said("app", 1, None, at_ms=1))) == {"x": 1}
