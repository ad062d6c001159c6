"""A captured table as of one moment of the stream: its columns, its key, and how its rows become JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from connectors.cdc.defaults import Default
from connectors.cdc.encoding import DEFAULT, Encoding
from connectors.cdc.errors import KeyUnknown, MalformedMessage, UnreadableValue
from connectors.cdc.filters import Filters
from connectors.cdc.pg_types import BUILT_IN, UNKNOWN, PgType, length_of
from connectors.cdc.pgoutput import UNCHANGED, Relation, Value
from connectors.cdc.schema_blocks import envelope_schema, key_schema, placed, wrapped
from connectors.cdc.types import PLAIN_TEXT, Codec, codec_of

NO_FILTERS = Filters()
_LEFT_OUT = b"%.0b"  # in the place of a column that rows do not hold: its value is cut down to nothing


class Column(Struct, frozen=True):
    """A column.

    Attributes:
        name: of the column.
        type_oid: its type.
        typmod: the modifier of the type; -1 for none.
        kind: what the type is; None for a built-in one.
        not_null: whether it is NOT NULL.
        never_null: whether no row of an event has null there. NOT NULL alone is not enough: an old row that is only a
            key has null in all other columns.
        default: its default value, None when it has none.
    """

    name: str
    type_oid: int
    typmod: int
    kind: PgType | None = None
    not_null: bool = False
    never_null: bool = False
    default: Default | None = None

    @property
    def type(self) -> PgType:
        """What the type is."""
        return self.kind or BUILT_IN.get(self.type_oid, UNKNOWN)


class Indexes(Struct, frozen=True, kw_only=True):
    """What the catalogue says about a table today.

    Attributes:
        columns: names of the columns that are replicated, in order.
        primary_key: names of the columns of the primary key, in its order; empty when there is none.
        identity_index: the same for the index that `REPLICA IDENTITY USING INDEX` names.
        not_null: names of the columns that are NOT NULL.
        defaults: of the columns that have one.
    """

    columns: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    identity_index: tuple[str, ...] = ()
    not_null: tuple[str, ...] = ()
    defaults: Mapping[str, Default] = {}

    def default_of(self, column: str, type_oid: int, typmod: int) -> Default | None:
        """Return the default of a column; None when the column of that name has become one of another type."""
        default = self.defaults.get(column)
        if default is None or (default.type_oid, default.typmod) != (type_oid, typmod):
            return None
        return default


class Table:
    """How rows of one table become JSON.

    Args:
        schema: of the table.
        name: of the table.
        topic: where its changes go.
        columns: in the order in which values come.
        key: places of the key's columns, in the key's order; empty when rows have no key.
        identity: places of the columns that an old row always has.
        encoding: how values are written.
        filters: which columns are shown, and how much of them.
        key_is_chosen: whether the key is one of the options, whose columns may be null unless they are NOT NULL.

    Attributes:
        shown: for each column whether rows hold it.
        encoders: what makes JSON of each column's text.
        nulls: what stands for null in each column: null, unless the options say otherwise.
        default_expressions: of each column, as SQL; None where it has none, or one that may not be seen.
        row_template: a row as a JSON object, with a place for each column.
        key_template: the same for the columns of the key, with its schema where schemas are on.
        value_schema: of the values, as JSON; None when schemas are off.
        schemas: of the columns of a new row, placed but without a field's name, which is what an outbox sends.
        large: places of the columns whose values Postgres may keep outside of the row.
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
        encoding: Encoding = DEFAULT,
        filters: Filters = NO_FILTERS,
        key_is_chosen: bool = False,
    ) -> None:
        self.schema = schema
        self.name = name
        self.topic = topic
        self.columns = tuple(columns)
        self.key = tuple(key)
        self.identity = frozenset(identity)
        found = [codec_of(column.type, column.typmod, encoding) for column in columns]
        self.shown = [
            codec is not None and filters.shows(str(self), column.name)
            for column, codec in zip(columns, found, strict=True)
        ]
        codecs = [  # columns of the key are always in the key
            filters.conceal(str(self), column.name, codec or PLAIN_TEXT, length_of(column.type, column.typmod))
            for column, codec in zip(columns, found, strict=True)
        ]
        self.large = tuple([place for place, column in enumerate(columns) if column.type.varies])
        self.encoders = [codec.encode for codec in codecs]
        known = [None if filters.conceals(str(self), column.name) else column.default for column in columns]
        self.default_expressions = [None if default is None else default.expression for default in known]
        defaults = [
            None if default is None else self._default_value(column, codec, default.text)
            for column, codec, default in zip(columns, codecs, known, strict=True)
        ]
        self.nulls = [
            default if default is not None and encoding.nulls == "default" else codec.null
            for default, codec in zip(defaults, codecs, strict=True)
        ]
        self._placeholders = [codec.placeholder for codec in codecs]
        self.row_template = _object(
            [column.name if shown else None for column, shown in zip(columns, self.shown, strict=True)]
        )
        self._plain_key = self.key_template = _object([columns[place].name for place in key])
        self.value_schema: bytes | None = None
        self.schemas = [
            placed(codec.schema, optional=not column.not_null or codec.maybe_null, default=default)
            for column, codec, default in zip(columns, codecs, defaults, strict=True)
        ]
        if encoding.schemas:
            fields = [
                _field(column, codec, default, of_key=place in self.key and (column.not_null or not key_is_chosen))
                for place, (column, codec, default) in enumerate(zip(columns, codecs, defaults, strict=True))
            ]
            self.value_schema = envelope_schema(
                topic, [field for field, shown in zip(fields, self.shown, strict=True) if shown]
            )
            self.key_template = wrapped(escaped(key_schema(topic, [fields[place] for place in key])), self.key_template)

    def encode(self, values: Sequence[Value]) -> list[bytes]:
        """Return each value as JSON.

        Raises:
            MalformedMessage: there are more or fewer values than columns.
            UnreadableValue: a text is not what its type prints.
        """
        self.check_width(values)
        try:
            return [
                null if value is None else placeholder if value is UNCHANGED else encode(value)
                for value, encode, null, placeholder in zip(
                    values, self.encoders, self.nulls, self._placeholders, strict=True
                )
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

    def with_schema(self, value: bytes) -> bytes:
        """Return the value of a record with its schema where schemas are on."""
        return value if self.value_schema is None else wrapped(self.value_schema, value)

    def template_with_schema(self, value: bytes) -> bytes:
        """Do the same for a template, in which the schema's percent signs stand for themselves."""
        return value if self.value_schema is None else wrapped(escaped(self.value_schema), value)

    def key_of(self, encoded: Sequence[bytes]) -> bytes | None:
        """Return the key of a row as one JSON object; None when rows of this table have no key."""
        if not self.key:
            return None
        return self.key_template % tuple([encoded[place] for place in self.key])

    def plain_key_of(self, encoded: Sequence[bytes]) -> bytes:
        """Return the same without a schema, as headers have it; only of a table whose rows have a key."""
        return self._plain_key % tuple([encoded[place] for place in self.key])

    def key_of_values(self, values: Sequence[Value]) -> bytes | None:
        """Return the key of a row of which only the key is looked at; None when it has none, or one that is no key."""
        if len(values) != len(self.encoders):
            return None
        try:
            key = [(self.encoders[place], self.nulls[place], values[place]) for place in self.key]
            encoded = [
                null if value is None else encode(value) for encode, null, value in key if value is not UNCHANGED
            ]
        except (ValueError, KeyError):
            return None
        return self.key_template % tuple(encoded) if encoded and len(encoded) == len(key) else None

    def _default_value(self, column: Column, codec: Codec, text: bytes | None) -> bytes | None:
        """Return the default of a column as JSON; None where a schema can have none, as Debezium has it."""
        if text is None or codec.schema["type"] == "struct":  # Kafka Connect loses those: KAFKA-12694
            return None
        try:
            default = codec.encode(text)
        except (ValueError, KeyError):
            raise UnreadableValue(f"the default of column {self}.{column.name} is an unexpected text") from None
        return None if default == codec.null else default

    def _unreadable(self, values: Sequence[Value]) -> UnreadableValue:
        for column, encode, value in zip(self.columns, self.encoders, values, strict=True):
            try:
                if isinstance(value, bytes):
                    encode(value)
            except (ValueError, KeyError):
                return UnreadableValue(
                    f"column {self}.{column.name} of type {column.type.name} holds an unexpected text"
                )
        return UnreadableValue(f"a row of {self} holds an unexpected text")

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def table_of(
    relation: Relation,
    indexes: Indexes,
    topic: str,
    *,
    encoding: Encoding = DEFAULT,
    filters: Filters = NO_FILTERS,
    types: Mapping[int, PgType] = BUILT_IN,
) -> Table:
    """Return a table as a Relation message describes it; `types` are those of its columns by OID.

    The key is that of the filters, else the primary key; with `REPLICA IDENTITY USING INDEX` it is that index, because
    a delete then carries nothing else.

    Raises:
        KeyUnknown: the table has changed so much since that its key cannot be told.
    """
    names = [column.name for column in relation.columns]
    chosen = filters.key_of(f"{relation.schema}.{relation.name}")
    return Table(
        relation.schema,
        relation.name,
        topic,
        [
            Column(
                column.name,
                column.type_oid,
                column.typmod,
                types.get(column.type_oid),
                not_null=column.name in indexes.not_null,
                never_null=relation.identity == "f" and column.name in indexes.not_null,
                default=indexes.default_of(column.name, column.type_oid, column.typmod),
            )
            for column in relation.columns
        ],
        key=_key_places(relation, indexes) if chosen is None else chosen_key(relation, chosen),
        identity=[place for place in range(len(names)) if relation.columns[place].identity],
        encoding=encoding,
        filters=filters,
        key_is_chosen=chosen is not None,
    )


def key_columns(identity: str, indexes: Indexes) -> tuple[str, ...]:
    """Return the names of the columns that make the key, for a replica identity ("d", "f", "i" or "n")."""
    return indexes.identity_index if identity == "i" else indexes.primary_key


def chosen_key(relation: Relation, wanted: Sequence[str]) -> list[int]:
    """Return the places of the columns that `source.key_columns` names.

    Raises:
        KeyUnknown: one is missing, or deletes do not carry it.
    """
    places = {column.name: place for place, column in enumerate(relation.columns)}
    table = f"{relation.schema}.{relation.name}"
    missing = [name for name in wanted if name not in places]
    if missing:
        raise KeyUnknown(f"source.key_columns: {table} has no column {', '.join(missing)}")
    # With nothing as identity there are neither updates nor deletes.
    if relation.identity in ("d", "i") and not all(relation.columns[places[name]].identity for name in wanted):
        raise KeyUnknown(
            f"source.key_columns: deletes in {table} carry only its own key; ALTER TABLE {table} REPLICA IDENTITY FULL"
        )
    return [places[name] for name in wanted]


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


def escaped(text: bytes) -> bytes:
    """Return a text in which percent signs stand for themselves when it becomes a part of a template."""
    return text.replace(b"%", b"%%")


def _object(names: Sequence[str | None]) -> bytes:
    """Return the JSON object of these members, with a place for each value; None for one that is left out."""
    template, comma = b"", b""
    for name in names:
        if name is None:
            template += _LEFT_OUT
        else:
            template += comma + escaped(msgspec.json.encode(name)) + b":%b"
            comma = b","
    return b"{%b}" % template


def _field(column: Column, codec: Codec, default: bytes | None, *, of_key: bool) -> dict[str, Any]:
    never_null = (of_key or column.never_null) and not codec.maybe_null
    return placed(codec.schema, optional=not never_null, field=column.name, default=default)
