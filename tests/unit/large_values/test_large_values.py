"""Values in an object store instead of Kafka, on a folder that stands for the store."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.large_values import LargeValues, ValueTooLarge
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from connectors.storage.contract import Found
from schemas.claims import CLAIM, Claim, InvalidClaim, encode_claim, read_claim
from schemas.headers import Headers
from schemas.wire import unframe_without_registry
from streams.object_storage import large_values_of
from streams.settings import load

DATA = b"\x00large\xff" * 1_000


@pytest.fixture
def values(tmp_path: Path) -> LargeValues:
    return LargeValues(FolderStorage(tmp_path))


def record_of(claim: Claim) -> tuple[bytes, Headers]:
    value, header = encode_claim(claim)
    return value, [("ce_id", b"1"), header]


def test_a_value_comes_back_byte_for_byte_and_is_kept_once(values: LargeValues, tmp_path: Path) -> None:
    claim = values.put(DATA, "application/json")
    assert values.put(DATA, "application/json") == claim
    assert values.get(claim) == DATA
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [claim.sha256]
    assert (claim.size, claim.bucket, claim.content_type) == (7_000, "local", "application/json")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bucket": "other"}, "bucket 'other'"),
        ({"key": "../secrets"}, "does not follow from its `sha256`"),
        ({"size": 10**9}, "1,000,000,000 bytes"),
        ({"size": 1}, "SHA-256 differs"),
        ({"sha256": "0" * 64, "key": f"00/{'0' * 64}"}, "is missing"),
    ],
)
def test_a_claim_that_cannot_be_redeemed_says_why(
    values: LargeValues, changes: Mapping[str, object], reason: str
) -> None:
    claim = values.put(DATA, "application/json")
    with pytest.raises(InvalidClaim, match=reason):
        values.get(msgspec.structs.replace(claim, **changes))


def test_an_object_that_was_changed_is_not_taken_for_the_value(values: LargeValues, tmp_path: Path) -> None:
    claim = values.put(DATA, "application/json")
    (tmp_path / claim.key).write_bytes(DATA[:-1] + b"x")
    with pytest.raises(InvalidClaim, match="SHA-256 differs"):
        values.get(claim)


def test_what_takes_values_out_of_frames_gets_the_value_itself(values: LargeValues) -> None:
    unframe = values.redeeming(unframe_without_registry)
    value, headers = record_of(values.put(b'{"a": 1}', "application/json"))
    assert unframe(value, headers) == b'{"a": 1}'
    assert unframe(b'{"b": 2}', [("ce_id", b"1")]) == b'{"b": 2}'


def test_a_store_that_is_away_is_no_fault_of_the_claim(tmp_path: Path) -> None:
    class Away(FolderStorage):
        def get(self, path: str) -> Found | None:
            raise Unavailable("away")

    claim = LargeValues(FolderStorage(tmp_path)).put(DATA, "x/y")
    with pytest.raises(Unavailable):
        LargeValues(Away(tmp_path)).get(claim)


@given(st.binary(max_size=50), st.none() | st.binary(max_size=10))
def test_any_value_beside_the_header_is_a_claim_or_refused(value: bytes, header: bytes | None) -> None:
    assert read_claim(value, [("other", header)]) is None
    with pytest.raises(InvalidClaim):
        read_claim(value, [(CLAIM, header)])


def test_a_header_that_names_another_object_than_the_value_is_refused(values: LargeValues) -> None:
    value, _ = encode_claim(values.put(DATA, "x/y"))
    with pytest.raises(InvalidClaim, match="another object"):
        read_claim(value, [(CLAIM, b"0" * 64)])


def test_how_large_a_value_may_be_is_not_what_intake_takes_from_kafka(tmp_path: Path) -> None:
    environ = {
        "TRAVELOS_DATA_DIR": str(tmp_path),
        "TRAVELOS_INTAKE_MAX_VALUE_BYTES": "2000",
        "TRAVELOS_LARGE_VALUES_MAX_BYTES": "7000",
    }
    values = large_values_of(load(environ=environ).options)
    assert values.get(values.put(DATA, "x/y")) == DATA
    with pytest.raises(ValueTooLarge, match=r"7,001 bytes, more than the 7,000 of large_values\.max_bytes"):
        values.put(DATA + b"x", "x/y")


def test_without_a_bucket_they_lie_beside_the_stores(tmp_path: Path) -> None:
    options = load(environ={"TRAVELOS_DATA_DIR": str(tmp_path), "TRAVELOS_LARGE_VALUES_OVER_BYTES": "2000"}).options
    values = large_values_of(options)
    assert values.over_bytes == 2_000
    claim = values.put(DATA, "x/y")
    assert (tmp_path / "large-values" / claim.key).read_bytes() == DATA
