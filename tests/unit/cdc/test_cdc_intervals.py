"""The texts of ISO 8601 were written by Debezium 3.4.3, except of infinite intervals, which it does not know."""

import pytest

from connectors.cdc.intervals import interval_as_microseconds, interval_as_text


@pytest.mark.parametrize(
    ("printed", "microseconds", "text"),
    [
        (b"1 year 2 mons -3 days +04:05:06.7", 36_572_706_700_000, b"P1Y2M-3DT4H5M6.7S"),
        (b"-1 years -2 mons +3 days", -36_558_000_000_000, b"P-1Y-2M3DT0H0M0S"),
        (b"-1 mons", -2_629_800_000_000, b"P0Y-1M0DT0H0M0S"),
        (b"3 days -04:05:06.000007", 244_493_999_993, b"P0Y0M3DT-4H-5M-6.000007S"),
        (b"-00:00:00.5", -500_000, b"P0Y0M0DT0H0M-0.5S"),
        (b"-00:00:01", -1_000_000, b"P0Y0M0DT0H0M-1S"),
        (b"100:00:00", 360_000_000_000, b"P0Y0M0DT100H0M0S"),
        (b"00:00:00", 0, b"P0Y0M0DT0H0M0S"),
        (b"infinity", 2**63 - 1, b"infinity"),
        (b"-infinity", -(2**63), b"-infinity"),
    ],
)
def test_an_interval_is_microseconds_or_iso_8601(printed: bytes, microseconds: int, text: bytes) -> None:
    assert interval_as_microseconds(printed) == b"%d" % microseconds
    assert interval_as_text(printed) == b'"%b"' % text


@pytest.mark.parametrize("text", [b"", b"x", b"1", b"1 day x", b"1:2:3", b"00:00:00.1234567"])
def test_other_texts_are_refused(text: bytes) -> None:
    for convert in (interval_as_microseconds, interval_as_text):
        with pytest.raises(ValueError, match="no interval"):
            convert(text)
