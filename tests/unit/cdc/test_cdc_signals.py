import msgspec
import pytest

from connectors.cdc.pgoutput import Delete, Insert, Relation, RelationColumn
from connectors.cdc.signal_table import SignalTable
from connectors.cdc.signals import (
    Condition,
    Signal,
    SignalData,
    Unusable,
    data_of,
    decode_signal,
    encode_signal,
    step_of,
)
from connectors.cdc.snapshot_state import SnapshotState

CAPTURED = ["public.a", "public.b", "other.a"]


def read(signal: Signal) -> list[tuple[str, str]]:
    state = step_of(signal, CAPTURED)(SnapshotState())
    return [(entry.table, entry.condition) for entry in state.tables]


def test_a_signal_of_debezium_is_understood() -> None:
    value = (
        b'{"id":"1","type":"execute-snapshot","data":{"data-collections":["public\\\\.[ab]"],"type":"INCREMENTAL",'
        b'"additional-conditions":[{"data-collection":"public.b","filter":"color = \'blue\'"}]}}'
    )
    assert read(decode_signal(value)) == [("public.a", ""), ("public.b", "color = 'blue'")]


def test_data_may_be_text_that_holds_json() -> None:
    signal = decode_signal(b'{"type":"execute-snapshot","data":"{\\"data-collections\\": [\\"public.a\\"]}"}')
    assert read(signal) == [("public.a", "")]


def test_what_is_sent_is_what_is_read() -> None:
    data = SignalData(data_collections=("public.a",), additional_conditions=(Condition("public.a", "id > 1"),))
    signal = Signal(type="execute-snapshot", id="7", data=data)
    assert decode_signal(encode_signal(signal)) == signal
    assert msgspec.json.decode(encode_signal(signal))["data"]["data-collections"] == ["public.a"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff", "no signal"),
        (b'{"type": 1}', "no signal"),
        (b'{"type":"execute-snapshot","data":"no json"}', "its data cannot be read"),
        (b'{"type":"execute-snapshot"}', "names no captured table"),
        (b'{"type":"execute-snapshot","data":{"data-collections":["nowhere.t", "(["]}}', "names no captured table"),
        (b'{"type":"execute-snapshot","data":{"data-collections":["public.a"],"type":"x"}}', "no snapshot of type x"),
        (b'{"type":"dance"}', "no signal of type dance"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_reason(value: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        step_of(decode_signal(value), CAPTURED)


def test_a_snapshot_may_be_stopped_for_some_tables_or_for_all() -> None:
    state = SnapshotState().with_tables(CAPTURED)
    stop = Signal(type="stop-snapshot", data=SignalData(data_collections=("public.*",)))
    assert [entry.table for entry in step_of(stop, CAPTURED)(state).tables] == ["other.a"]
    assert step_of(Signal(type="stop-snapshot"), CAPTURED)(state).done


def test_a_snapshot_may_be_paused_and_resumed() -> None:
    state = SnapshotState().with_tables(CAPTURED)
    paused = step_of(Signal(type="pause-snapshot"), CAPTURED)(state)
    assert paused.paused
    assert step_of(Signal(type="resume-snapshot", data=""), CAPTURED)(paused) == state


def test_a_message_stands_for_itself() -> None:
    assert data_of(Signal(type="log", data='{"message": "at {}"}')).message == "at {}"


def relation(*columns: str) -> Relation:
    return Relation(5, "public", "signals", "d", tuple(RelationColumn(name, 25, -1, False) for name in columns))


@pytest.mark.parametrize("columns", [("data", "id", "type"), ("kennung", "art", "inhalt")])
def test_columns_of_the_signal_table_are_told_by_name_or_by_place(columns: tuple[str, ...]) -> None:
    table = SignalTable("public.signals")
    table.described(Relation(4, "public", "other", "d", ()))
    assert table.oid is None
    table.described(relation(*columns))
    values = {"data": b"{}", "id": b"7", "type": b"log", "kennung": b"7", "art": b"log", "inhalt": b"{}"}
    table.changed(Insert(5, [values[name] for name in columns]))
    table.changed(Delete(5, [b"7", None, None], False))
    assert list(table.waiting) == [Signal(type="log", id="7", data="{}")]


def test_a_row_of_nulls_is_no_reason_to_end() -> None:
    table = SignalTable("public.signals")
    table.described(relation("id"))
    table.changed(Insert(5, [None]))
    with pytest.raises(Unusable):
        step_of(table.waiting.popleft(), CAPTURED)
