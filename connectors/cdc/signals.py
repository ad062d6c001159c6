"""Signals: what somebody asks of a source while it works. Pure: bytes in, what to do out.

Format: Debezium 3.4, "Sending signals to a connector": a type and data as JSON, in a row of the signal table, or as a
record of the signal topic.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct, structs

from connectors.cdc.snapshot_state import SnapshotState
from schemas.reasons import shortened

SignalType = Literal["execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log"]
Step = Callable[[SnapshotState], SnapshotState]


class Condition(Struct, frozen=True, rename={"data_collection": "data-collection"}):
    """Which rows of a table are read: those that meet the SQL `filter`."""

    data_collection: str
    filter: str


class SignalData(
    Struct,
    frozen=True,
    rename={"data_collections": "data-collections", "additional_conditions": "additional-conditions"},
):
    """What a signal says.

    Attributes:
        data_collections: expressions of tables, each as "schema.table".
        type: incremental or blocking; both are read beside the stream.
        additional_conditions: for some of the tables.
        message: of the signal `log`; "{}" stands for how far the source is.
    """

    data_collections: tuple[str, ...] = ()
    type: str = "incremental"
    additional_conditions: tuple[Condition, ...] = ()
    message: str = "{}"


class Signal(Struct, frozen=True):
    """A signal. `data` may be JSON, or text that holds JSON, as Debezium's own clients send both."""

    type: str
    id: str = ""
    data: SignalData | str | None = None


class Unusable(ValueError):  # noqa: N818 - reads as what it is
    """A signal that cannot be followed. The message says why, and is for the log."""


_signals: msgspec.json.Decoder[Signal] = msgspec.json.Decoder(Signal)
_data: msgspec.json.Decoder[SignalData] = msgspec.json.Decoder(SignalData)


def decode_signal(value: bytes) -> Signal:
    """Read a record of the signal topic.

    Raises:
        Unusable: it is no signal.
    """
    try:
        return _signals.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unusable(f"no signal: {shortened(str(error))}") from None


def encode_signal(signal: Signal) -> bytes:
    """Write a record of the signal topic."""
    return msgspec.json.encode(signal)


def data_of(signal: Signal) -> SignalData:
    """Return what a signal says.

    Raises:
        Unusable: that is not what signals say.
    """
    data = signal.data
    if isinstance(data, SignalData):
        return data
    try:
        return _data.decode(data or "{}")
    except msgspec.MsgspecError as error:
        raise Unusable(f"its data cannot be read: {shortened(str(error))}") from None


def step_of(signal: Signal, captured: Sequence[str]) -> Step:
    """Return what a signal does to what is to be read.

    Args:
        signal: of any type but `log`.
        captured: names of the captured tables.

    Raises:
        Unusable: it cannot be followed.
    """
    data = data_of(signal)
    if signal.type == "execute-snapshot":
        return _execute(signal, data, captured)
    if signal.type == "stop-snapshot":
        tables = _matching(data.data_collections, captured) if data.data_collections else captured
        return lambda state: state.without(tables)
    if signal.type in ("pause-snapshot", "resume-snapshot"):
        paused = signal.type == "pause-snapshot"
        return lambda state: structs.replace(state, paused=paused)
    raise Unusable(f"there is no signal of type {shortened(signal.type)}")


def _execute(signal: Signal, data: SignalData, captured: Sequence[str]) -> Step:
    if data.type.lower() not in ("incremental", "blocking"):
        raise Unusable(f"there is no snapshot of type {shortened(data.type)}")
    tables = _matching(data.data_collections, captured)
    if not tables:
        raise Unusable("data-collections names no captured table")
    conditions = {
        table: condition.filter
        for condition in data.additional_conditions
        for table in _matching([condition.data_collection], tables)
    }

    def step(state: SnapshotState) -> SnapshotState:
        for table in tables:
            state = state.with_tables([table], condition=conditions.get(table, ""), signal=signal.id)
        return state

    return step


def _matching(expressions: Sequence[str], tables: Sequence[str]) -> list[str]:
    """Return the tables that an expression names, or matches as a whole."""

    def matches(expression: str, table: str) -> bool:
        try:
            return expression == table or re.fullmatch(expression, table) is not None
        except re.error:
            return False  # a name with characters that make no expression

    return [table for table in tables if any(matches(expression, table) for expression in expressions)]
