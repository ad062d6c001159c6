import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.conflicts.canonical import NotCanonical, canonical, digest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
INNER = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
CONTENTS = st.dictionaries(st.text(), INNER, max_size=6)  # larger ones took half a minute and hold nothing new


@given(CONTENTS)
def test_the_order_of_members_makes_no_difference(content: dict[str, Any]) -> None:
    assert canonical(dict(reversed(content.items()))) == canonical(content)


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1}, {"a": 1.0}), ({"a": 0.0}, {"a": -0.0}), ({"a": (1, 2)}, {"a": [1, 2]})]
)
def test_what_json_says_in_two_ways_is_one_content(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        ({}, None),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
        ({"a": True}, {"a": 1}),
    ],
)
def test_what_differs_is_two_contents(one: dict[str, Any], other: dict[str, Any] | None) -> None:
    assert digest(one) != digest(other)


def test_a_digest_is_the_sha_256_of_the_form() -> None:
    assert canonical({"b": [1.0, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'.encode()
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').digest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2, object(): 3}])
def test_what_json_has_no_word_for_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical({"price": {"of": value}})


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(NotCanonical, match=r"content\.stops\[\]\.lat is nan"):
        canonical({"stops": [{"lat": float("nan")}]})
