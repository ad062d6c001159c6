from collections import Counter
from datetime import date
from random import Random

import pytest

from schemas.changes import RestaurantRow, UserRow
from streams.demo.database import ROW_TYPES, Row
from streams.demo.live import LiveChanges, RowChange, apply_change, statement
from streams.demo.live_plan import LEAST_CHANGES, plan_changes
from streams.demo.tables import load_places, load_restaurants

TODAY = date(2026, 3, 1)


def tables() -> dict[str, list[Row]]:
    users: list[Row] = [UserRow(id=f"traveller-{n}", name=f"Traveller {n}") for n in range(50)]
    return {"restaurants": [*load_restaurants().rows], "places": [*load_places().rows], "users": users}


@pytest.fixture(scope="module")
def plan() -> LiveChanges:
    return plan_changes(Random(5), tables(), 400, TODAY)


def test_the_expected_state_is_what_the_changes_make_of_the_tables(plan: LiveChanges) -> None:
    state: dict[str, dict[str, Row]] = {name: {row.id: row for row in rows} for name, rows in tables().items()}
    for change in plan.changes:
        if change.op == "insert":
            assert change.id not in state[change.table]
        else:
            assert change.id in state[change.table]
        apply_change(state, change)
    assert state == plan.expected


def test_all_kinds_of_changes_occur_in_the_number_asked_for(plan: LiveChanges) -> None:
    assert len(plan.changes) == 400
    kinds = Counter((change.table, change.op) for change in plan.changes)
    assert set(kinds) >= {(table, op) for table in ("restaurants", "places") for op in ("insert", "update", "delete")}
    assert kinds["users", "update"] > 0
    updated = {name for change in plan.changes if change.op == "update" for name in change.columns}
    assert updated >= {"name", "cuisine", "lat", "lon", "price_range", "grades", "diet", "home_city"}


def test_a_recreated_row_is_deleted_before_it_is_inserted_and_is_there_at_the_end(plan: LiveChanges) -> None:
    assert plan.recreated
    for table, key in plan.recreated:
        assert [change.op for change in plan.changes if change.id == key] == ["delete", "insert"]
        assert key in plan.expected[table]


def test_deleted_rows_are_gone_at_the_end(plan: LiveChanges) -> None:
    assert plan.deleted
    assert all(key not in plan.expected[table] for table, key in plan.deleted)


def test_late_rows_are_inserted_from_late_from_on_and_no_others(plan: LiveChanges) -> None:
    inserted = {change.id for change in plan.changes[plan.late_from :] if change.op == "insert"}
    assert plan.changes[plan.late_from].op == "insert"
    assert inserted == {row.id for row in plan.late}
    assert not inserted & {row.id for row in plan.arrived}


def test_a_new_grade_comes_first_and_keeps_the_others(plan: LiveChanges) -> None:
    row = next(
        row for row in plan.expected["restaurants"].values() if '"2026-03-01"' in (getattr(row, "grades", "") or "")
    )
    assert isinstance(row, RestaurantRow)
    assert (row.grades or "").startswith('[{"date": "2026-03-01"')


def test_the_same_dice_give_the_same_plan() -> None:
    assert plan_changes(Random(5), tables(), 400, TODAY) == plan_changes(Random(5), tables(), 400, TODAY)


@pytest.mark.parametrize("left_out", ["restaurants", "places", "users"])
def test_a_table_may_be_empty(left_out: str) -> None:
    plan = plan_changes(Random(1), {**tables(), left_out: []}, 100, TODAY)
    assert len(plan.changes) == 100
    assert set(plan.expected) == set(ROW_TYPES)


def test_one_single_place_is_enough_and_no_place_is_refused() -> None:
    one = load_places().rows[:1]
    assert len(plan_changes(Random(1), {"places": one}, 1, TODAY).changes) == LEAST_CHANGES
    with pytest.raises(ValueError, match="at least one restaurant or place"):
        plan_changes(Random(1), {"users": tables()["users"]}, 100, TODAY)


def test_a_statement_carries_values_as_parameters_only() -> None:
    change = RowChange("update", "places", "cam-hotel-1", {"name": "'; DROP TABLE places; --", "lat": None})
    command, values = statement(change)
    assert "DROP" not in repr(command)
    assert values == ["'; DROP TABLE places; --", None, "cam-hotel-1"]
    assert statement(RowChange("delete", "places", "cam-hotel-1", {}))[1] == ["cam-hotel-1"]
