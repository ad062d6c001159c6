"""A captured table as of one moment of the stream: its columns, its key, and how its rows become JSON."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from connectors.cdc.config import Decimals
from connectors.cdc.errors import KeyUnknown, MalformedMessage, UnreadableValue
from connectors.cdc.pgoutput import UNCHANGED, Relation, Value
from connectors.cdc.types import NULL, placeholder_of, type_encoder


class Column(Struct, frozen=True):
    """A column: its name and its type."""

    name: str
    type_oid: int
    typmod: int


class Indexes(Struct, frozen=True, kw_only=True):
    """What the catalogue says about a table today.

    Attributes:
        columns: names of the columns that are replicated, in order.
        primary_key: names of the columns of the primary key, in its order; empty when there is none.
        identity_index: the same for the index that `REPLICA IDENTITY USING INDEX` names.
    """

    columns: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    identity_index: tuple[str, ...] = ()


class Table:
    """How rows of one table become JSON.

    Args:
        schema: of the table.
        name: of the table.
        topic: where its changes go.
        columns: in the order in which values come.
        key: places of the key's columns, in the key's order; empty when rows have no key.
        identity: places of the columns that an old row always has.
        decimals: how `numeric` is written.

    Attributes:
        encoders: what makes JSON of each column's text.
        row_template: a row as a JSON object, with a place for each column.
        key_template: the same for the columns of the key.
    """

    def __init__(
        self,
        schema: str,
        name: str,
        topic: str,
        columns: Sequence[Column],
        *,
        key: Sequence[int],
        identity: Sequence[int] = (),
        decimals: Decimals = "string",
    ) -> None:
        self.schema = schema
        self.name = name
        self.topic = topic
        self.columns = tuple(columns)
        self.key = tuple(key)
        self.identity = frozenset(identity)
        self.encoders = [type_encoder(column.type_oid, column.typmod, decimals) for column in columns]
        self._placeholders = [placeholder_of(column.type_oid) for column in columns]
        self.row_template = _object([column.name for column in columns])
        self.key_template = _object([columns[place].name for place in key])

    def encode(self, values: Sequence[Value]) -> list[bytes]:
        """Return each value as JSON.

        Raises:
            MalformedMessage: there are more or fewer values than columns.
            UnreadableValue: a text is not what its type prints.
        """
        self.check_width(values)
        try:
            return [
                NULL if value is None else placeholder if value is UNCHANGED else encode(value)
                for value, encode, placeholder in zip(values, self.encoders, self._placeholders, strict=True)
            ]
        except (ValueError, KeyError):
            raise self._unreadable(values) from None  # what was raised may quote the value

    def check_width(self, values: Sequence[Value]) -> None:
        """Raise MalformedMessage when there are more or fewer values than columns."""
        if len(values) != len(self.encoders):
            raise MalformedMessage(f"a row of {self} has {len(values)} values, its columns are {len(self.encoders)}")

    def row(self, encoded: Sequence[bytes]) -> bytes:
        """Return a row as one JSON object."""
        return self.row_template % tuple(encoded)

    def key_of(self, encoded: Sequence[bytes]) -> bytes | None:
        """Return the key of a row as one JSON object; None when rows of this table have no key."""
        if not self.key:
            return None
        return self.key_template % tuple([encoded[place] for place in self.key])

    def _unreadable(self, values: Sequence[Value]) -> UnreadableValue:
        for column, encode, value in zip(self.columns, self.encoders, values, strict=True):
            try:
                if isinstance(value, bytes):
                    encode(value)
            except (ValueError, KeyError):
                return UnreadableValue(
                    f"column {self}.{column.name} of type {column.type_oid} holds an unexpected text"
                )
        return UnreadableValue(f"a row of {self} holds an unexpected text")

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def table_of(relation: Relation, indexes: Indexes, topic: str, decimals: Decimals) -> Table:
    """Return a table as a Relation message describes it.

    The key is the primary key; with `REPLICA IDENTITY USING INDEX` it is that index, because a delete then carries
    nothing else.

    Raises:
        KeyUnknown: the table has changed so much since that its key cannot be told.
    """
    names = [column.name for column in relation.columns]
    return Table(
        relation.schema,
        relation.name,
        topic,
        [Column(column.name, column.type_oid, column.typmod) for column in relation.columns],
        key=_key_places(relation, indexes),
        identity=[place for place in range(len(names)) if relation.columns[place].identity],
        decimals=decimals,
    )


def key_columns(identity: str, indexes: Indexes) -> tuple[str, ...]:
    """Return the names of the columns that make the key, for a replica identity ("d", "f", "i" or "n")."""
    return indexes.identity_index if identity == "i" else indexes.primary_key


def _key_places(relation: Relation, indexes: Indexes) -> list[int]:
    """Return the places of the key's columns.

    A Relation message tells, as of then, which columns identify a row, but not in which order; the catalogue tells
    the order, but as of now.
    """
    names = [column.name for column in relation.columns]
    flagged = [place for place, column in enumerate(relation.columns) if column.identity]
    wanted = key_columns(relation.identity, indexes)
    if set(wanted) <= set(names):
        ordered = [names.index(name) for name in wanted]
    elif len(names) == len(indexes.columns) and set(wanted) <= set(indexes.columns):
        # Renamed since; a rename keeps the order.
        ordered = [indexes.columns.index(name) for name in wanted]
    else:
        ordered = None
    if relation.identity in ("d", "i"):
        return ordered if ordered is not None and set(ordered) == set(flagged) else flagged
    if ordered is None:
        raise KeyUnknown(
            f"the columns of {relation.schema}.{relation.name} have changed so much since this change that its key "
            f"cannot be told: take the table out of source.tables, or drop the slot and take a new snapshot with "
            f'source.snapshot = "when_needed"'
        )
    return ordered


def _object(names: Sequence[str]) -> bytes:
    """Return the JSON object of these members, with a place for each value."""
    members = [msgspec.json.encode(name).replace(b"%", b"%%") + b":%b" for name in names]
    return b"{%b}" % b",".join(members)
