"""What operators said holds for the stores it names; what cannot be read changes nothing."""

from datetime import UTC, datetime

import pytest

from schemas.controls import InvalidControl, StoreControl, decode_control, encode_control
from streams.delivery.controls import Controls

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class StandInDelivery:
    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self, why: str) -> None:
        self.said.append(why)

    def resume(self) -> None:
        self.said.append("resumed")


def control(paused: bool, why: str = "") -> bytes:
    return encode_control(StoreControl(store="cache", paused=paused, by="ann@host", at=NOW, why=why))


def test_a_store_is_paused_and_resumed_in_the_order_of_the_records_and_others_are_left_alone() -> None:
    cache, graph = StandInDelivery(), StandInDelivery()
    controls = Controls({"cache": cache, "graph": graph})
    controls.apply([(b"cache", control(True, "upgrade")), (b"search", control(True))])
    controls.apply([(b"cache", control(False)), (b"cache", control(True)), (b"cache", None)])
    assert cache.said == ["paused by ann@host: upgrade", "resumed", "paused by ann@host", "resumed"]
    assert graph.said == []


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"store": "cash", "paused": true}', b"[" * 10_000])
def test_what_is_no_control_changes_nothing(value: bytes) -> None:
    cache = StandInDelivery()
    Controls({"cache": cache}).apply([(b"cache", value), (b"cache", control(True))])
    assert cache.said == ["paused by ann@host"]
    with pytest.raises(InvalidControl):
        decode_control(value)
