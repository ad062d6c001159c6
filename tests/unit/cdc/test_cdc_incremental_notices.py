"""Notifications of snapshots beside the stream, compared with what Debezium's service tells."""

from typing import Any, cast

from msgspec import structs

from connectors.cdc.incremental_notices import IncrementalNotices
from connectors.cdc.notifications import Notifications
from connectors.cdc.snapshot_state import SnapshotState

TWO = SnapshotState().with_tables(["s.a", "s.b"], signal="7")
FIRST, SECOND = TWO.tables


class Told:
    """Takes the place of the topic."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, dict[str, str]]] = []

    def send(self, aggregate: str, kind: str, identity: str = "", **data: Any) -> None:
        self.told.append((aggregate, kind, identity, data))


def notices() -> tuple[IncrementalNotices, Told]:
    told = Told()
    return IncrementalNotices(cast(Notifications, told)), told


def test_a_snapshot_of_two_tables_is_told_as_one_under_the_id_of_its_signal() -> None:
    tell, told = notices()
    left = TWO.finished(FIRST.run)
    tell.begins(TWO, FIRST)
    tell.progressed(TWO, FIRST, (b"5", b"x"))
    tell.scanned(TWO, FIRST, 7, "SUCCEEDED")
    tell.begins(left, SECOND)
    tell.scanned(left, SECOND, 0, "EMPTY")
    tell.completed(SECOND)
    tell.begins(left, SECOND)
    assert {(aggregate, identity) for aggregate, _, identity, _ in told.told} == {("Incremental Snapshot", "7")}
    assert [(kind, data) for _, kind, _, data in told.told] == [
        ("STARTED", {"data_collections": "s.a,s.b"}),
        (
            "IN_PROGRESS",
            {
                "data_collections": "s.a,s.b",
                "current_collection_in_progress": "s.a",
                "last_processed_key": "5,x",
            },
        ),
        (
            "TABLE_SCAN_COMPLETED",
            {
                "data_collections": "s.a,s.b",
                "scanned_collection": "s.a",
                "total_rows_scanned": "7",
                "status": "SUCCEEDED",
            },
        ),
        (
            "TABLE_SCAN_COMPLETED",
            {"data_collections": "s.b", "scanned_collection": "s.b", "total_rows_scanned": "0", "status": "EMPTY"},
        ),
        ("COMPLETED", {}),
        ("STARTED", {"data_collections": "s.b"}),
    ]


def test_a_signal_tells_what_it_has_changed_and_nothing_of_what_is_idle() -> None:
    tell, told = notices()
    paused = structs.replace(TWO, paused=True)
    nothing = SnapshotState()
    tell.changed(nothing, structs.replace(nothing, paused=True), "1")
    tell.changed(nothing, TWO, "2")
    tell.changed(TWO, paused, "3")
    tell.changed(paused, paused, "4")
    tell.changed(paused, TWO, "5")
    tell.changed(TWO, TWO.without(["s.b"]), "6")
    tell.changed(TWO.without(["s.b"]), nothing, "7")
    assert [one[1:] for one in told.told] == [
        ("PAUSED", "3", {"data_collections": "s.a,s.b"}),
        ("RESUMED", "5", {"data_collections": "s.a,s.b"}),
        ("ABORTED", "6", {"data_collections": "s.b"}),
        ("ABORTED", "7", {"data_collections": "s.a"}),
    ]


def test_what_follows_a_stopped_snapshot_is_told_as_a_new_one() -> None:
    tell, told = notices()
    tell.begins(TWO, FIRST)
    tell.changed(TWO, SnapshotState(), "8")
    tell.begins(TWO, FIRST)
    assert [kind for _, kind, _, _ in told.told] == ["STARTED", "ABORTED", "STARTED"]
