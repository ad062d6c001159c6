from typing import Any

from schemas.releases import Breach, breaches, next_version


def struct(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": []}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}


def test_every_released_version_has_to_be_readable_not_only_the_last_one() -> None:
    versions = {1: struct(id=TEXT, size=TEXT), 2: struct(id=TEXT), 3: struct(id=TEXT, name=TEXT)}
    found = breaches({"order": struct(id=TEXT, size=WHOLE)}, {"order": versions})
    assert found == [Breach("order", 1, "size", "type changed from string to integer")]
    assert str(found[0]) == "order: size: type changed from string to integer (against version 1)"


def test_a_subject_that_was_released_must_stay() -> None:
    [breach] = breaches({}, {"order": {1: struct(id=TEXT)}})
    assert str(breach) == "order: the subject was removed, its records can no longer be read (against version 1)"


def test_a_subject_that_was_never_released_may_change() -> None:
    assert breaches({"order": struct(id=WHOLE)}, {}) == []


def test_the_next_version_follows_the_last_one() -> None:
    assert next_version(struct(id=TEXT), {}) == 1
    assert next_version(struct(id=TEXT), {9: struct(), 10: struct(id=WHOLE)}) == 11


def test_an_unchanged_schema_is_not_released_again() -> None:
    assert next_version(struct(id=TEXT), {1: struct(), 2: struct(id=TEXT)}) is None
