from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from redis.crc import key_slot

from connectors.sinks.redis.address import Address, BadAddress, address_of
from connectors.sinks.redis.keys import Names, Unfit, arguments, check_names, digits, position
from schemas.writes import CacheWrite

NAMES = Names("travelos:")
VERSIONS = st.integers(0, 2**63 - 1)


def write(**given: Any) -> CacheWrite:
    fields: dict[str, Any] = {"entity": "k", "version": 7, "source": "s", "event_id": "e", "key": "k", "value": 1}
    fields |= {"occurred_at": datetime(2026, 5, 1, tzinfo=UTC), **given}
    return CacheWrite(**fields)


@given(entity=st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_a_value_and_its_versions_share_a_slot(entity: str) -> None:
    one = write(entity=entity, key=entity)
    try:
        check_names(one, one_slot=True)
    except Unfit:
        assert entity.startswith("}")
    else:
        assert key_slot(NAMES.value(entity).encode()) == key_slot(NAMES.versions(entity).encode())


def test_the_keys_of_the_geo_index_share_a_slot() -> None:
    assert len({key_slot(key.encode()) for key in NAMES.positions}) == 1


@given(one=VERSIONS, two=VERSIONS)
def test_versions_as_text_sort_as_the_numbers_do(one: int, two: int) -> None:
    assert (digits(one) < digits(two)) == (one < two)
    assert len(digits(one)) == 19


def test_a_time_to_live_is_told_in_milliseconds() -> None:
    assert arguments(write(ttl_seconds=5, value={"a": None})) == (
        "k",
        "s",
        "0000000000000000007",
        "0000000000000000006",
        "u",
        "5000",
        '{"a":null}',
    )
    assert arguments(write(op="delete", ttl_seconds=5))[4:] == ("d", "", "")


@given(version=VERSIONS)
def test_what_a_write_of_version_0_replaces_sorts_before_every_version(version: int) -> None:
    replaced = arguments(write())[3], digits(-1)
    assert replaced[1] < digits(version)
    assert replaced[0] < digits(7) == arguments(structs.replace(write(), repair=True))[3]


@pytest.mark.parametrize("ttl", [0, -1, 10**15])
def test_a_time_to_live_that_cannot_be_is_refused(ttl: int) -> None:
    with pytest.raises(Unfit, match=f"`ttl_seconds` is {ttl}"):
        arguments(write(ttl_seconds=ttl))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"lat": 40.7, "lon": -74}, ("-74.0", "40.7")),
        ({"lat": 86.0, "lon": 0.0}, ("", "")),
        ({"lat": 0.0, "lon": 181.0}, ("", "")),
        ({"lat": float("nan"), "lon": 0.0}, ("", "")),
        ({"lat": "40", "lon": 0.0}, ("", "")),
        ({"lat": 40.7}, ("", "")),
        (None, ("", "")),
        ([1], ("", "")),
    ],
)
def test_a_position_that_redis_cannot_index_leaves_the_index(value: Any, expected: tuple[Any, Any]) -> None:
    found = position(write(key="position:u:1", value=value, ttl_seconds=9), "position:")
    assert found is not None
    assert found[:4] == ("u:1", "s", digits(7), digits(6))
    assert found[4:6] == expected


def test_only_keys_of_positions_are_positions() -> None:
    assert position(write(value={"lat": 1.0, "lon": 1.0}), "position:") is None
    assert position(write(key="position:u1", value={"lat": 1.0, "lon": 1.0}), "") is None
    assert position(write(key="position:u1", op="delete"), "position:") == ("u1", "s", digits(7), digits(6), "", "", 0)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:7/3", Address("single", tls=False, hosts=(("h", 7),), database=3)),
        ("redis://h", Address("single", tls=False, hosts=(("h", 6379),))),
        ("rediss://u:p%40@[::1]:7", Address("single", tls=True, hosts=(("::1", 7),), username="u", password="p@")),
        ("unix:///run/redis.sock", Address("single", tls=False, path="/run/redis.sock")),
        ("redis+cluster://:p@a:1,b", Address("cluster", tls=False, hosts=(("a", 1), ("b", 6379)), password="p")),
        (
            "rediss+sentinel://a,b:9/my%20set/2",
            Address("sentinel", tls=True, hosts=(("a", 26379), ("b", 9)), service="my set", database=2),
        ),
    ],
)
def test_every_form_of_an_address_is_read(url: str, expected: Address) -> None:
    assert address_of(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://h",
        "redis://",
        "redis://a,b",
        "redis://h:port",
        "redis://h/x",
        "redis://h/1/2",
        "redis+cluster://a/1",
        "redis+sentinel://a",
        "redis+other://a",
        "unix://",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        address_of(url.replace("://", "://:s3cret@", 1))
    assert "s3cret" not in str(caught.value)
