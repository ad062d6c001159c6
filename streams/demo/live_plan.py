"""Plan the changes of the source tables from a seed."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from random import Random

from msgspec.structs import asdict, replace

from schemas.changes import PlaceRow, RestaurantRow, UserRow
from streams.demo.database import ROW_TYPES, Row
from streams.demo.live import LiveChanges, RowChange, Value, apply_change
from streams.demo.newcomers import new_place, new_restaurant, round_the_corner

LEAST_CHANGES = 40
UNTIL_LATE = 0.9  # the share of the changes that comes before the first late place
_CUISINES = ("Korean", "Italian", "Vegetarian", "Mexican", "Greek", "Thai")
_TABLE_SHARES = {"restaurants": 70, "places": 20, "users": 10}


def plan_changes(
    rng: Random,
    tables: Mapping[str, Sequence[Row]],
    count: int,
    today: date,
    untouched_users: Collection[str] = (),
) -> LiveChanges:
    """Return `count` changes (at least LEAST_CHANGES) of the given rows.

    About one in eight is an insert, one in twenty a delete, one in twenty-five belongs to a row that is deleted and
    inserted again, the rest are updates of names, cuisines, coordinates, price ranges, grades, home cities and diets.

    Args:
        rng: the dice.
        tables: the rows before the first change, by table.
        count: how many changes.
        today: the date of new grades.
        untouched_users: ids of users whose rows do not change.

    Raises:
        ValueError: there is neither a restaurant nor a place, or next to none has a position.
    """
    if not tables.get("restaurants") and not tables.get("places"):
        raise ValueError("Expected at least one restaurant or place to change")
    count = max(count, LEAST_CHANGES)
    late_from = int(count * UNTIL_LATE)
    # Rows that disappear are chosen beforehand, so that nothing else speaks of them.
    candidates = [(table, row.id) for table in ("restaurants", "places") for row in tables.get(table, ())]
    doomed = rng.sample(candidates, min(len(candidates) // 3, count // 10))
    plan = _Plan(rng, tables, {*doomed, *(("users", key) for key in untouched_users)}, today)
    reopening = doomed[: min(max(2, count // 50), len(doomed) // 2)]
    closing = doomed[len(reopening) :]
    steps = sorted(rng.sample(range(late_from), 2 * len(reopening)))
    vanishing = dict(zip(steps[::2], reopening, strict=True))
    returning = dict(zip(steps[1::2], reopening, strict=True))
    arrived: list[Row] = []
    late: list[Row] = []
    deleted: list[tuple[str, str]] = []
    for number in range(count):
        dice = rng.random()
        if number in vanishing:
            plan.delete(*vanishing[number])
        elif number in returning:
            plan.reopen(*returning[number])
        elif number >= late_from and (not late or dice < 0.3):
            late.append(plan.insert())
        elif dice < 0.13:
            arrived.append(plan.insert())
        elif dice < 0.18 and closing:
            deleted.append(closing.pop())
            plan.delete(*deleted[-1])
        else:
            plan.update()
    return LiveChanges(
        changes=plan.changes,
        expected=plan.state,
        arrived=arrived,
        late=late,
        late_from=late_from,
        deleted=deleted,
        recreated=reopening,
    )


class _Plan:
    """The tables as they are after the changes planned so far."""

    def __init__(
        self, rng: Random, tables: Mapping[str, Sequence[Row]], set_aside: set[tuple[str, str]], today: date
    ) -> None:
        self._rng = rng
        self._today = today
        self._inserted = 0
        self._closed: dict[tuple[str, str], Row] = {}
        self.state: dict[str, dict[str, Row]] = {
            table: {row.id: row for row in tables.get(table, ())} for table in ROW_TYPES
        }
        self.changes: list[RowChange] = []
        self._staying = {
            table: [key for key in rows if (table, key) not in set_aside] for table, rows in self.state.items()
        }

    def insert(self) -> Row:
        """Open a restaurant or a place near one that is there."""
        self._inserted += 1
        row: Row
        near = self._neighbour("places" if self._rng.random() < 0.25 else "restaurants")
        if isinstance(near, PlaceRow):
            row, table = new_place(self._rng, near, self._inserted), "places"
        else:
            row, table = new_restaurant(self._rng, near, self._inserted), "restaurants"
        self._do(RowChange("insert", table, row.id, asdict(row)))
        self._staying[table].append(row.id)
        return row

    def delete(self, table: str, key: str) -> None:
        """Remove a row."""
        self._closed[table, key] = self.state[table][key]
        self._do(RowChange("delete", table, key, {}))

    def reopen(self, table: str, key: str) -> None:
        """Insert a removed row again, under another name."""
        row = self._closed[table, key]
        self._do(RowChange("insert", table, key, asdict(replace(row, name=f"{row.name} (reopened)"))))

    def update(self) -> None:
        """Change one thing of a row."""
        (table,) = self._rng.choices(list(_TABLE_SHARES), list(_TABLE_SHARES.values()))
        row = self._any(table)
        match row:
            case RestaurantRow():
                table, change = "restaurants", self._restaurant_update(row)
            case PlaceRow():
                table, change = "places", self._place_update(row)
            case UserRow():
                table, change = "users", self._user_update()
        self._do(RowChange("update", table, row.id, change))

    def _restaurant_update(self, row: RestaurantRow) -> dict[str, Value]:
        changes: list[Callable[[], dict[str, Value]]] = [
            lambda: {"name": self._renamed(row.name)},
            lambda: {"cuisine": self._rng.choice(_CUISINES)},
            lambda: self._moved(row),
            lambda: {"grades": self._graded(row.grades)},
            lambda: {"grades": self._graded(row.grades)},
        ]
        return self._rng.choice(changes)()

    def _place_update(self, row: PlaceRow) -> dict[str, Value]:
        changes: list[Callable[[], dict[str, Value]]] = [
            lambda: {"name": self._renamed(row.name)},
            lambda: self._moved(row),
            lambda: {"price_range": self._rng.choice(("cheap", "moderate", "expensive"))},
        ]
        if row.kind == "restaurant":
            changes.append(lambda: {"cuisine": self._rng.choice(_CUISINES).lower()})
        return self._rng.choice(changes)()

    def _user_update(self) -> dict[str, Value]:
        if self._rng.random() < 0.6:
            return {"diet": self._rng.choice(("vegetarian", "vegan", None))}
        return {"home_city": self._rng.choice(("Lisbon", "Osaka", "Berlin", "Nairobi"))}

    def _renamed(self, name: str) -> str:
        return f"{name} {self._rng.choice(('& Sons', 'Too', 'on the Corner', 'Express'))}".strip()

    def _moved(self, row: RestaurantRow | PlaceRow) -> dict[str, Value]:
        """Return a position some metres away: somebody corrected the map."""
        lat, lon = round_the_corner(self._rng, row.lat, row.lon, degrees=0.0004)
        return {"lat": lat, "lon": lon}

    def _graded(self, grades: str | None) -> str:
        new = {"date": self._today.isoformat(), "grade": self._rng.choice("AAAABC"), "score": self._rng.randint(2, 30)}
        return json.dumps([new, *json.loads(grades or "[]")], ensure_ascii=False)

    def _neighbour(self, table: str) -> RestaurantRow | PlaceRow:
        """Return a row with a position of the table or, when that is empty, of the other one."""
        for _ in range(100):
            row = self._any(table)
            if not isinstance(row, UserRow) and row.lat is not None:
                return row
        raise ValueError("Expected restaurants or places of which most have a position")

    def _any(self, table: str) -> Row:
        """Return a row of the table that is not set aside, or of another one when the table has none."""
        name = next(name for name in (table, "restaurants", "places") if self._staying[name])
        return self.state[name][self._rng.choice(self._staying[name])]

    def _do(self, change: RowChange) -> None:
        apply_change(self.state, change)
        self.changes.append(change)
