"""Signals that arrive as rows of a table: whoever may write to the database needs nothing else to send one."""

from collections import deque

from connectors.cdc.pgoutput import Delete, Insert, Relation, Update
from connectors.cdc.signals import Signal

COLUMNS = ("id", "type", "data")


class SignalTable:
    """The rows that were inserted into the signal table, in the order of the stream.

    The columns are Debezium's: id, type, data; told by their place when they have other names.

    Args:
        name: of the table as "<schema>.<table>"; empty for none.

    Attributes:
        oid: of the table, None as long as the stream has not described it.
        waiting: signals that nobody has followed.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._places: list[int] = []
        self.oid: int | None = None
        self.waiting: deque[Signal] = deque()

    def described(self, relation: Relation) -> None:
        """Note the columns of a table, which is the signal table or any other."""
        if f"{relation.schema}.{relation.name}" != self._name:
            return
        names = [column.name for column in relation.columns]
        known = set(COLUMNS) <= set(names)
        self._places = [names.index(name) for name in COLUMNS] if known else list(range(min(3, len(names))))
        self.oid = relation.oid

    def changed(self, change: Insert | Update | Delete) -> None:
        """Note a change of the signal table: only a new row is a signal."""
        if not isinstance(change, Insert):
            return
        texts = [change.new[place] for place in self._places]
        values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else "" for value in texts]
        signal_id, signal_type, data = (*values, "", "", "")[:3]
        self.waiting.append(Signal(type=signal_type, id=signal_id, data=data or None))
