"""What of the database is captured, and what is done to columns before anybody sees them. Pure.

Snapshot and stream both make their rows through `connectors.cdc.tables.Table`, and that asks here: a value that is
masked, hashed or left out is so in keys, values, old rows and errors, whichever way it came. Patterns are regular
expressions that match a whole name without regard to case, as Debezium's.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, partial
from hashlib import sha256
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from connectors.cdc.errors import Misconfigured
from connectors.cdc.schema_blocks import Schema
from connectors.cdc.types import Codec

OWN_PREFIX = "travelos."  # of heartbeats and the like

T = TypeVar("T")
Operation = Literal["c", "u", "d", "t"]

_json = msgspec.json.Encoder()


class Filters(Struct, frozen=True, kw_only=True):
    """What is captured, and how.

    Attributes:
        include_schemas: patterns of schemas; empty for all. Debezium's `schema.include.list`.
        exclude_schemas: `schema.exclude.list`.
        exclude_tables: patterns of "<schema>.<table>": `table.exclude.list`.
        include_columns: patterns of "<schema>.<table>.<column>"; empty for all: `column.include.list`. Columns of the
            key are always in the key.
        exclude_columns: `column.exclude.list`.
        mask_columns: by pattern, how many asterisks stand for a value or for null: `column.mask.with.length.chars`.
        hash_columns: patterns of columns whose values are replaced by the SHA-256 of salt and value, in hexadecimal, as
            much of it as the column may hold: `column.mask.hash.v2.SHA-256.with.salt`. Null stays so.
        hash_salt: the salt.
        truncate_columns: by pattern, how many characters are left of a value: `column.truncate.to.length.chars`.
        key_columns: by pattern of "<schema>.<table>", the columns that make the key of its records:
            `message.key.columns`.
        row_filters: by pattern of "<schema>.<table>", SQL that rows have to meet: the first one that matches.
        push_down_columns: whether the server is told to send only the columns that are needed.
        include_prefixes: patterns of prefixes of logical messages; empty for all: `message.prefix.include.list`.
        exclude_prefixes: `message.prefix.exclude.list`.
        skipped_operations: of which the stream makes no events: `skipped.operations`.
    """

    include_schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    include_columns: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    mask_columns: Mapping[str, int] = {}
    hash_columns: tuple[str, ...] = ()
    hash_salt: str = ""
    truncate_columns: Mapping[str, int] = {}
    key_columns: Mapping[str, tuple[str, ...]] = {}
    row_filters: Mapping[str, str] = {}
    push_down_columns: bool = False
    include_prefixes: tuple[str, ...] = ()
    exclude_prefixes: tuple[str, ...] = ()
    skipped_operations: tuple[Operation, ...] = ("t",)

    def __repr__(self) -> str:
        return "Filters()"  # the salt is a secret

    def check(self) -> None:
        """Raise Misconfigured when a pattern is no regular expression; the message names the option."""
        for option in ("include_schemas", "exclude_schemas", "exclude_tables", "include_columns", "exclude_columns"):
            check_patterns(option, getattr(self, option))
        check_patterns("include_message_prefixes", self.include_prefixes)
        check_patterns("exclude_message_prefixes", self.exclude_prefixes)
        for option in ("mask_columns", "hash_columns", "truncate_columns", "key_columns", "row_filters"):
            check_patterns(option, getattr(self, option))

    def captures(self, schema: str, table: str, tables: Iterable[str]) -> bool:
        """Whether a table whose name matches one of the patterns `tables` is captured."""
        name = f"{schema}.{table}"
        return (
            (not self.include_schemas or _matches(schema, self.include_schemas))
            and not _matches(schema, self.exclude_schemas)
            and _matches(name, tables)
            and not _matches(name, self.exclude_tables)
        )

    def hears(self, prefix: str) -> bool:
        """Whether a logical message makes an event. Our own never do."""
        if prefix.startswith(OWN_PREFIX) or (self.include_prefixes and not _matches(prefix, self.include_prefixes)):
            return False
        return not _matches(prefix, self.exclude_prefixes)

    def shows(self, table: str, column: str) -> bool:
        """Whether rows of a table hold a column."""
        name = f"{table}.{column}"
        if self.include_columns and not _matches(name, self.include_columns):
            return False
        return not _matches(name, self.exclude_columns)

    def key_of(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of the key where it is not the table's own."""
        return _first(table, self.key_columns)

    def rows_of(self, table: str) -> str:
        """Return the SQL that rows of a table have to meet; empty for all rows."""
        return _first(table, self.row_filters) or ""

    def conceals(self, table: str, column: str) -> bool:
        """Whether a column's values may not be seen as they are."""
        name = f"{table}.{column}"
        return _matches(name, (*self.mask_columns, *self.hash_columns, *self.truncate_columns))

    def conceal(self, table: str, column: str, codec: Codec, length: int | None = None) -> Codec:
        """Return how a column's values become JSON with only as much of them as may be seen.

        Args:
            table: as "<schema>.<table>".
            column: of the table.
            codec: how they become JSON as they are.
            length: how many characters the column may hold; None for any number.

        Raises:
            Misconfigured: the column holds no text.
        """
        name = f"{table}.{column}"
        asterisks = _first(name, self.mask_columns)
        limit = _first(name, self.truncate_columns)
        hashed = _matches(name, self.hash_columns)
        if asterisks is None and limit is None and not hashed:
            return codec
        if codec.schema["type"] != "string":
            raise Misconfigured(
                f"source: only text can be masked, hashed or truncated, and column {name} is written as "
                f'{codec.schema["type"]}; leave it out with source.exclude_columns = ["{name}"]'
            )
        if asterisks is not None:
            mask = b'"%b"' % (b"*" * asterisks)
            schema = _with_parameter(codec.schema, "masked", "true")
            return codec._replace(encode=partial(_masked, mask), schema=schema, placeholder=mask, null=mask)
        if hashed:
            schema = _with_parameter(codec.schema, "masked", "true")
            return codec._replace(encode=partial(_hashed, self.hash_salt.encode(), length), schema=schema)
        assert limit is not None
        schema = _with_parameter(codec.schema, "truncateLength", str(limit))
        return codec._replace(encode=partial(_truncated, limit), schema=schema)


def check_patterns(option: str, patterns: Iterable[str]) -> None:
    """Raise Misconfigured when one is no regular expression."""
    for pattern in patterns:
        try:
            _compiled(pattern)
        except re.error as error:
            raise Misconfigured(f"source.{option}: {pattern!r} is no regular expression: {error}") from None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(_compiled(pattern).fullmatch(name) for pattern in patterns)


def _first(name: str, patterns: Mapping[str, T]) -> T | None:
    return next((value for pattern, value in patterns.items() if _compiled(pattern).fullmatch(name)), None)


def _masked(mask: bytes, _: bytes) -> bytes:
    return mask


def _hashed(salt: bytes, length: int | None, value: bytes) -> bytes:
    return b'"%b"' % sha256(salt + value).hexdigest()[:length].encode()


def _with_parameter(schema: Schema, name: str, value: str) -> Schema:
    return {**schema, "parameters": {**schema.get("parameters", {}), name: value}}


def _truncated(limit: int, value: bytes) -> bytes:
    text = value.decode("utf-8", "replace")
    if len(text) * 2 > limit:  # else no count can be too large
        # Debezium counts as Java does: a character beyond 16 bits is two. Half of one is dropped.
        text = text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")
    return _json.encode(text)
