import pytest

from connectors.cdc.slot import SlotState

MB = 1 << 20


@pytest.mark.parametrize(
    ("slot", "soon"),
    [
        (SlotState(restart_lsn=1, wal_status="reserved"), False),
        (SlotState(restart_lsn=1, wal_status="extended", safe_wal_size=900 * MB, retained_bytes=100 * MB), False),
        (SlotState(restart_lsn=1, wal_status="extended", safe_wal_size=240 * MB, retained_bytes=760 * MB), True),
        (SlotState(restart_lsn=1, wal_status="unreserved", safe_wal_size=-1), True),
        (SlotState(wal_status="lost"), False),
    ],
)
def test_a_slot_is_soon_lost_when_a_quarter_of_what_may_be_kept_is_left(slot: SlotState, soon: bool) -> None:
    assert slot.soon_lost == soon


@pytest.mark.parametrize(
    "slot",
    [
        SlotState(wal_status="lost", restart_lsn=1),
        SlotState(wal_status="reserved"),
        SlotState(wal_status="reserved", restart_lsn=1, invalidation_reason="idle_timeout"),
    ],
)
def test_a_slot_is_lost_when_wal_that_it_needs_is_gone_or_the_server_says_so(slot: SlotState) -> None:
    assert slot.lost
