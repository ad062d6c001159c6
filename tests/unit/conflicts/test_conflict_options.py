"""From the options to the rules by which types are settled."""

from typing import Any, get_args

import pytest

from streams.conflicts.claims import Claim
from streams.conflicts.load import rules_of
from streams.conflicts.rules import TYPES, Rules
from streams.conflicts.strategies import Settled, TakenBack, Undecided
from streams.settings import SettingsError, load
from streams.settings.conflicts import EntityType, EntityTypes

CLAIMS = [
    Claim(source="app", version=1, at_ms=1, content={"x": 1, "tags": ["a"]}, confidence=0.9, region="us"),
    Claim(source="crm", version=1, at_ms=2, content={"x": 2, "tags": ["b"]}, confidence=0.5, region="kr"),
]
EXPECTED: dict[str, Any] = {
    "last_write_wins": Settled({"x": 2, "tags": ["b"]}),
    "highest_confidence": Settled({"x": 1, "tags": ["a"]}),
    "merge": Settled({"x": 2, "tags": ["a", "b"]}),
    "regional_priority": Settled({"x": 1, "tags": ["a"]}),
    "manual": Undecided(),
    "rollback": TakenBack(),
}


def rules(**options: Any) -> Rules | None:
    named = {f"conflicts.{name.replace('__', '.')}": value for name, value in options.items()}
    return rules_of(load(environ={}, overrides=named).options.conflicts)


def test_without_a_strategy_nothing_is_settled() -> None:
    assert rules() is None
    assert rules(sources=["cdc.crm"], window_seconds=9) is None


@pytest.mark.parametrize("strategy", EXPECTED)
def test_every_strategy_that_can_be_named_is_the_one_of_that_name(strategy: str) -> None:
    found = rules(types__place__strategy=strategy, types__place__sets=["tags"], types__place__priority=["us"])
    assert found is not None
    rule = found.of_table("public.restaurants")
    assert rule is not None
    assert (rule.strategy, rule.settle(CLAIMS)) == (strategy, EXPECTED[strategy])
    assert found.of_table("public.users") is None
    assert found.of_table("public.invoices") is None


def test_no_strategy_and_no_type_is_left_out() -> None:
    assert set(get_args(EntityType.model_fields["strategy"].annotation)) == {"none", *EXPECTED}
    assert set(EntityTypes.model_fields) == set(TYPES)


def test_what_is_said_of_sources_belongs_to_them() -> None:
    found = rules(
        types__user__strategy="manual", confidences=["cdc.crm=0.25"], regions=["cdc.crm=kr"], window_seconds=0.5
    )
    assert found is not None
    assert (found.confidences, found.regions, found.window_ms) == ({"cdc.crm": 0.25}, {"cdc.crm": "kr"}, 500)


@pytest.mark.parametrize(
    "options",
    [
        {"conflicts.types.place.strategy": "loudest"},
        {"conflicts.confidences": ["cdc.crm=2"]},
        {"conflicts.regions": ["kr"]},
        {"conflicts.sources": ["cdc crm"]},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_the_name_of_the_option(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(SettingsError, match=name):
        load(environ={}, overrides=options)


def test_the_topics_of_other_sources_are_those_of_the_same_tables() -> None:
    options = load(environ={}, overrides={"conflicts.sources": ["cdc.crm"], "source.tables": ["public.places"]}).options
    catalogue = options.catalogue()
    assert [topic.name for topic in catalogue.all_changes] == ["cdc.travel.public.places", "cdc.crm.public.places"]
    assert {topic.name for topic in catalogue.all_changes} <= {topic.name for topic in catalogue}


def test_a_source_that_is_captured_here_is_no_other_source() -> None:
    overrides = {"conflicts.sources": ["cdc.crm"], "source.topic_prefix": "cdc.crm"}
    catalogue = load(environ={}, overrides=overrides).options.catalogue()
    assert catalogue.all_changes == list(catalogue.changes.values())
