"""A definition that cannot be all or nothing is refused where it is made."""

import pytest

from streams.sagas.definition import Definition, InvalidDefinition, Patience, Step

OBJECT = Step(name="object", store="objects")
VECTOR = Step(name="vector", store="vector", after=("object",))
PAY = Step(name="pay", store="relational", kind="pivot")
GRAPH = Step(name="graph", store="graph", kind="retriable")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "no steps"),
        ((OBJECT, OBJECT), "object: there are two of that name"),
        ((VECTOR, OBJECT), "vector: `after` names object, which is not a step before it"),
        ((PAY, Step(name="late", store="graph", after=("pay",))), "late: it can be taken back, but comes after pay"),
        ((PAY, Step(name="again", store="graph", kind="pivot")), "again: there is a pivot already"),
        ((Step(name="late", store="cache", deadline_ms=0),), "late: its deadline of 0 ms is to be more than 0"),
        ((Step(name="late", store="cache", deadline_ms=300_001),), "no more than the saga's own, 300000 ms"),
    ],
)
def test_what_cannot_be_all_or_nothing_is_refused(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(InvalidDefinition, match=message):
        Definition(name="photo_taken", steps=steps)


def test_a_pivot_waits_for_all_that_can_be_taken_back_and_what_is_retriable_for_the_pivot() -> None:
    saga = Definition(name="booking_made", steps=(PAY, OBJECT, VECTOR, GRAPH))
    assert saga.waits_for(OBJECT) == set()
    assert saga.waits_for(VECTOR) == {"object"}
    assert saga.waits_for(PAY) == {"object", "vector"}
    assert saga.waits_for(GRAPH) == {"object", "vector", "pay"}
    assert saga.waited_for_by(OBJECT) == {"vector", "pay", "graph"}


def test_pauses_double_up_to_the_longest() -> None:
    patience = Patience(first_ms=10, longest_ms=50)
    assert [patience.pause_ms(attempts) for attempts in (1, 2, 3, 4, 1_000)] == [10, 20, 40, 50, 50]
