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


def heard(*claims: Claim, strategy: Strategy = last_write_wins, by_member: bool = False) -> Decision:
    decision = Decision(Entity(), "superseded")
    for claim in claims:
        decision = take(decision.entity, claim, strategy, by_member=by_member)
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
    for by_member in (False, True):
        orders = permutations(claims)
        found = {digest(content(heard(*order, strategy=strategy, by_member=by_member))) for order in orders}
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


def merged(*claims: Claim) -> Decision:
    return heard(*claims, strategy=merge(["tags"]), by_member=True)


BOTH = [said(source, 1, {"name": "Roma", "phone": "1", "city": "Seoul"}, at_ms=1_000) for source in ("app", "crm")]


@pytest.mark.parametrize("later", [1, WINDOW_MS, 1_000_000])
def test_changes_of_two_members_made_beside_each_other_both_hold_in_a_merge(later: int) -> None:
    renamed = said("app", 2, {"name": "Rosa", "phone": "1", "city": "Seoul"}, at_ms=2_000)
    called = said("crm", 2, {"name": "Roma", "phone": "2", "city": "Seoul"}, at_ms=2_000 + later)
    expected = {"name": "Rosa", "phone": "2", "city": "Seoul"}
    decision = merged(*BOTH, renamed, called)
    assert (decision.outcome, content(decision)) == ("settled", expected)
    assert content(merged(*BOTH, called, renamed)) == expected
    # What it does not know of, it says as it was once more, and takes nothing back.
    moved = said("app", 3, {"name": "Rosa", "phone": "1", "city": "Busan"}, at_ms=3_000 + 2 * later)
    assert content(take_merged(decision, moved)) == expected | {"city": "Busan"}


def take_merged(decision: Decision, claim: Claim) -> Decision:
    return take(decision.entity, claim, merge(["tags"]), by_member=True)


def test_of_one_member_that_both_changed_the_later_change_holds_in_a_merge() -> None:
    early = said("app", 2, {"name": "Rosa", "phone": "1", "city": "Seoul"}, at_ms=2_000)
    late = said("crm", 2, {"name": "Rome", "phone": "2", "city": "Seoul"}, at_ms=3_000)
    expected = {"name": "Rome", "phone": "2", "city": "Seoul"}
    assert content(merged(*BOTH, early, late)) == content(merged(*BOTH, late, early)) == expected


def test_a_member_that_is_set_back_to_what_it_was_is_a_change_in_a_merge() -> None:
    renamed = said("app", 2, {"name": "Rosa", "phone": "1", "city": "Seoul"}, at_ms=2_000)
    heard_of_it = said("crm", 2, {"name": "Rosa", "phone": "1", "city": "Seoul"}, at_ms=2_500)
    back = said("crm", 3, {"name": "Roma", "phone": "1", "city": "Seoul"}, at_ms=3_000)
    assert content(merged(*BOTH, renamed, heard_of_it, back)) == {"name": "Roma", "phone": "1", "city": "Seoul"}


def test_what_is_there_again_after_it_was_gone_is_new_in_a_merge() -> None:
    gone, again = said("app", 2, None, at_ms=2_000), said("app", 3, {"name": "Roma", "phone": "9"}, at_ms=4_000)
    between = said("crm", 2, {"name": "Rome", "phone": "1", "city": "Seoul"}, at_ms=3_000)
    found = content(merged(*BOTH, gone, between, again))
    assert found == {"name": "Roma", "phone": "9", "city": "Seoul"}


MEMBERS = st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.integers(0, 2)})


@given(start=MEMBERS, ours=MEMBERS, theirs=MEMBERS, ours_first=st.booleans())
def test_a_merge_of_two_changes_of_one_content_loses_neither(
    start: Content, ours: Content, theirs: Content, ours_first: bool
) -> None:
    """As a merge of two branches does; where both changed a member, the later change holds."""
    first = [said(source, 1, start) for source in ("a", "b")]
    one, other = said("a", 2, ours, at_ms=2_000), said("b", 2, theirs, at_ms=3_000)
    found = content(merged(*first, *((one, other) if ours_first else (other, one))))
    assert found is not None
    for name, before in start.items():
        assert found[name] == (theirs[name] if theirs[name] != before else ours[name])
