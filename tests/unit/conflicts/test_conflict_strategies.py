from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streams.conflicts.canonical import digest
from streams.conflicts.claims import Claim, Content
from streams.conflicts.settle import Entity, decide, take
from streams.conflicts.strategies import (
    Settled,
    Strategy,
    TakenBack,
    Undecided,
    highest_confidence,
    last_write_wins,
    manual,
    merge,
    regional_priority,
    rollback,
)

REGIONS = ("kr", "us", "")
STRATEGIES: dict[str, Strategy] = {
    "last_write_wins": last_write_wins,
    "highest_confidence": highest_confidence,
    "merge": merge(["tags"]),
    "regional_priority": regional_priority(["kr", "us"]),
    "manual": manual,
    "rollback": rollback,
}
THERE: st.SearchStrategy[Content] = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from("ab"),
        "rating": st.none() | st.integers(1, 2),
        "tags": st.lists(st.integers(0, 3)),
    },
)
CONTENTS = st.none() | THERE


@st.composite
def claim_sets(draw: st.DrawFn) -> list[Claim]:
    """Claims of some sources, many of them of one moment."""
    sources = draw(st.sets(st.sampled_from("pqrs"), min_size=1))
    return [
        Claim(
            source=source,
            version=draw(st.integers(1, 3)),
            at_ms=draw(st.integers(1, 3)),
            content=draw(CONTENTS),
            confidence=draw(st.sampled_from([0.5, 1.0])),
            region=draw(st.sampled_from(REGIONS)),
            since=draw(st.dictionaries(st.sampled_from(["name", "rating"]), st.integers(0, 3), max_size=2)),
        )
        for source in sorted(sources)
    ]


def said(source: str, at_ms: int, content: Content | None, **more: Any) -> Claim:
    return Claim(source=source, version=at_ms, at_ms=at_ms, content=content, **more)


@pytest.mark.parametrize("name", STRATEGIES)
@given(claims=claim_sets())
def test_neither_order_nor_repetition_makes_a_difference(name: str, claims: list[Claim]) -> None:
    strategy = STRATEGIES[name]
    expected = strategy(claims)
    assert all(strategy(order) == expected for order in permutations(claims))
    assert strategy([*claims, claims[0]]) == expected


@pytest.mark.parametrize("name", ["last_write_wins", "highest_confidence", "regional_priority"])
@given(claims=claim_sets())
def test_who_wins_among_the_winners_of_two_groups_wins_among_all(name: str, claims: list[Claim]) -> None:
    """So it does not matter in which groups claims are settled first."""
    by_source = {claim.source: structs.replace(claim, content={"said by": claim.source}) for claim in claims}
    named = list(by_source.values())

    def winner(some: list[Claim]) -> Claim:
        settled = STRATEGIES[name](some)
        assert isinstance(settled, Settled)
        assert settled.content is not None
        return by_source[settled.content["said by"]]

    for cut in range(1, len(named)):
        assert winner([winner(named[:cut]), winner(named[cut:])]) == winner(named)


@given(claims=claim_sets())
def test_a_merge_holds_every_element_of_every_set_that_nobody_took_away_later(claims: list[Claim]) -> None:
    settled = merge(["tags"])(claims)
    assert isinstance(settled, Settled)
    gone = max(((claim.at_ms, claim.source) for claim in claims if claim.content is None), default=(0, ""))
    standing = [claim.content for claim in claims if claim.content is not None and (claim.at_ms, claim.source) > gone]
    assert (settled.content is None) == (not standing)
    if settled.content is not None:
        assert set(settled.content.get("tags", ())) == {tag for content in standing for tag in content.get("tags", ())}
        assert settled.content.keys() == {name for content in standing for name in content}


@given(claims=claim_sets())
def test_a_merge_gives_each_member_the_value_with_the_newest_stamp(claims: list[Claim]) -> None:
    told = [
        structs.replace(one, content={name: f"{name} by {one.source}" for name in one.content}) if one.content else one
        for one in claims
    ]
    settled = merge()(told)
    assert isinstance(settled, Settled)
    gone = max(((one.at_ms, one.source) for one in told if one.content is None), default=(0, ""))
    stamps: dict[str, set[tuple[int, str]]] = {}
    for one in told:
        for name in one.content or () if (one.at_ms, one.source) > gone else ():
            stamps.setdefault(name, set()).add((one.since.get(name, one.at_ms), one.source))
    newest = {name: f"{name} by {max(found)[1]}" for name, found in stamps.items()}
    assert (settled.content or {}) == newest


@st.composite
def changes_at_moments_of_their_own(draw: st.DrawFn) -> list[Claim]:
    """Claims of which none says that the entity is gone, and no two changed a member at one moment."""
    moments = iter(draw(st.permutations(range(1, 20))))
    claims: list[Claim] = []
    for source in "pqrs"[: draw(st.integers(2, 4))]:
        content = draw(THERE)
        since = {name: next(moments) for name in sorted(content)}
        claims.append(said(source, max([next(moments), *since.values()]), content, since=since))
    return claims


@given(claims=changes_at_moments_of_their_own(), cut=st.integers(1, 3))
def test_a_merge_of_merges_is_the_merge_of_all_where_no_two_speak_at_one_moment_and_none_says_it_is_gone(
    claims: list[Claim], cut: int
) -> None:
    strategy = merge(["tags"])

    def merged(some: list[Claim]) -> list[Claim]:
        """Return what a group agrees on as one claim, each member as old as the claim that it came from."""
        if not some:
            return []
        settled = strategy(some)
        assert isinstance(settled, Settled)
        assert settled.content is not None
        since = {name: max(one.since.get(name, -1) for one in some) for name in settled.content}
        latest = max(some, key=lambda one: one.moment)
        return [structs.replace(latest, content=settled.content, since=since)]

    assert strategy([*merged(claims[:cut]), *merged(claims[cut:])]) == strategy(claims)


def test_a_merge_of_merges_forgets_that_it_was_gone_and_of_one_moment_who_said_what() -> None:
    """So what is agreed is always made of the claims of the sources, and never of what was agreed before."""
    early, gone, late = said("a", 1, {"x": 1}), said("b", 2, None), said("c", 3, {"y": 3})
    assert merge()([early, gone, late]) == Settled({"y": 3})
    assert merge()([gone, late]) == Settled({"y": 3})
    assert merge()([early, late]) == Settled({"x": 1, "y": 3})  # `late` stands for what the two agreed on
    one, other, third = said("a", 1, {"x": 1}), said("b", 1, {"x": 2}), said("c", 1, {"y": 1})
    assert merge()([one, other, third]) == Settled({"x": 2, "y": 1})
    as_one = structs.replace(third, content={"x": 1, "y": 1})  # what `one` and `third` agree on, said by the later
    assert merge()([as_one, other]) == Settled({"x": 1, "y": 1})


def test_a_merge_takes_each_member_as_it_was_said_last() -> None:
    claims = [
        said("app", 1, {"name": "Rosa", "city": "Seoul", "tags": ["vegan"]}),
        said("crm", 2, {"name": "Rosa Kim", "phone": None, "tags": ["vip", "vegan"]}),
    ]
    expected = {"name": "Rosa Kim", "city": "Seoul", "phone": None, "tags": ["vegan", "vip"]}
    assert merge(["tags"])(claims) == Settled(expected)
    assert merge()(claims) == Settled(expected | {"tags": ["vip", "vegan"]})


def test_what_is_only_said_again_is_no_change_in_a_merge() -> None:
    renamed = said("app", 2, {"name": "Rosa", "phone": "1"}, since={"phone": 1})
    called = said("crm", 3, {"name": "Roma", "phone": "2"}, since={"name": 1})
    assert merge()([renamed, called]) == Settled({"name": "Rosa", "phone": "2"})


def test_of_two_that_said_it_at_once_the_same_one_wins_everywhere() -> None:
    one, other = said("app", 1, {"a": 1}), said("crm", 1, {"a": 2})
    assert last_write_wins([one, other]) == last_write_wins([other, one]) == Settled({"a": 2})


def test_the_surest_claim_holds_though_it_is_older() -> None:
    assert highest_confidence(
        [said("a", 1, {"x": 1}, confidence=0.9), said("b", 2, {"x": 2}, confidence=0.8)]
    ) == Settled({"x": 1})


def test_the_region_that_is_named_first_holds_and_one_that_is_not_named_comes_last() -> None:
    kr, us, elsewhere = (said(name, at, {"x": at}, region=name) for at, name in enumerate(("kr", "us", "fr"), start=1))
    assert regional_priority(["kr", "us"])([kr, us, elsewhere]) == Settled({"x": 1})
    assert regional_priority(["us"])([kr, us, elsewhere]) == Settled({"x": 2})
    assert regional_priority([])([kr, us, elsewhere]) == Settled({"x": 3})


def test_nobody_decides_by_himself_what_is_for_somebody_to_decide_or_to_take_back() -> None:
    claims = [said("a", 1, {"x": 1}), said("b", 2, {"x": 2})]
    assert manual(claims) == Undecided()
    assert rollback(claims) == TakenBack()


@st.composite
def first_and_others(draw: st.DrawFn) -> tuple[Claim, list[Claim]]:
    """A first claim, and one of each other source, none of which the others know of."""
    first, *others = (said(source, draw(st.integers(1, 3)), draw(CONTENTS)) for source in "pqrs")
    return first, draw(st.permutations(others))


@given(claims=first_and_others(), decided=CONTENTS)
def test_by_manual_the_last_agreed_content_stands_until_somebody_decides_and_then_what_they_say(
    claims: tuple[Claim, list[Claim]], decided: Content | None
) -> None:
    first, others = claims
    entity = take(Entity(), first, manual).entity
    for claim in others:
        entity = take(entity, claim, manual).entity
        assert entity.agreed is not None
        assert entity.agreed.content == first.content
    contradict = any(one.digest != first.digest for one in others)
    assert bool(entity.undecided) == contradict
    if contradict:
        after = decide(entity, decided)
        assert after.agreed is not None
        assert (after.agreed.content, after.undecided) == (decided, ())


@given(claims=first_and_others())
def test_by_rollback_whatever_contradicts_changes_nothing_in_any_order_and_is_told(
    claims: tuple[Claim, list[Claim]],
) -> None:
    first, others = claims
    entity = take(Entity(), first, rollback).entity
    for claim in others:
        decision = take(entity, claim, rollback)
        entity = decision.entity
        assert entity.agreed is not None
        assert (entity.agreed.content, entity.undecided) == (first.content, ())
        assert decision.outcome == ("echo" if claim.digest == first.digest else "taken back")
        assert (claim in decision.conflict) == (decision.outcome == "taken back")


def test_a_claim_knows_its_digest() -> None:
    assert said("a", 1, {"x": 1.0}).digest == digest({"x": 1})
