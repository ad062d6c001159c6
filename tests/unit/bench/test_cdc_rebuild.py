"""How the convergence test rebuilds a table from records."""

import json
from typing import Any

from bench.cdc.convergence.rebuild import RebuiltTable
from connectors.cdc import UNAVAILABLE


def taken(*changes: tuple[str, int, dict[str, Any] | None]) -> RebuiltTable:
    table = RebuiltTable()
    for op, lsn, after in changes:
        table.take(b"k", json.dumps({"op": op, "after": after, "source": {"lsn": lsn}}).encode())
    return table


def test_what_is_older_than_what_is_known_changes_nothing() -> None:
    assert taken(("r", 5, {"a": 1}), ("c", 3, {"a": 2})).rows == {b"k": {"a": 1}}
    assert taken(("d", 5, None), ("r", 3, {"a": 2})).rows == {}
    assert taken(("d", 5, None), ("c", 6, {"a": 2})).rows == {b"k": {"a": 2}}


def test_a_value_that_an_update_left_alone_is_kept() -> None:
    assert taken(("c", 1, {"a": 1, "large": "x"}), ("u", 2, {"a": 2, "large": UNAVAILABLE})).rows == {
        b"k": {"a": 2, "large": "x"}
    }


def test_a_change_that_comes_again_and_is_another_one_is_a_contradiction() -> None:
    same = taken(("u", 1, {"a": 1, "large": "x"}), ("u", 1, {"a": 1, "large": UNAVAILABLE}))
    assert (same.records, same.repeated, same.contradictions) == (2, 1, [])
    assert taken(("u", 1, {"a": 1}), ("u", 1, {"a": 2})).contradictions == ["k at LSN 1"]
    assert taken(("u", 1, {"a": 1}), ("d", 1, None)).contradictions == ["k at LSN 1"]
