"""How a version line says which version set each column. Pure.

Most lines say the same of all columns that they know: the version of the line itself. Those are a number whose bits are
the columns, in the order in which `tables` declares them; the others are a JSON object of versions by column. Said as
an object for every line it was a third of its bytes, and a tenth of the rate at which new rows are written.
"""

from collections.abc import Callable, Mapping
from functools import cache

import msgspec

from connectors.sinks.postgres.tables import TABLES

_encode = msgspec.json.Encoder().encode
_decode: Callable[[str], int | dict[str, int]] = msgspec.json.Decoder(int | dict[str, int]).decode


def encode_versions(table: str, version: int, columns: Mapping[str, int]) -> str:
    """Return what a line of this version says of its columns, each with the version that set it."""
    if all(one == version for one in columns.values()):
        return set_together(table, tuple(columns))
    return _encode(columns).decode()


def decode_versions(table: str, version: int, said: str) -> dict[str, int]:
    """Return the versions of columns that `encode_versions` has said, or an object of an earlier release."""
    found = _decode(said)
    return dict.fromkeys(_named(table, found), version) if isinstance(found, int) else found


@cache  # as many as there are ways in which writes name columns
def set_together(table: str, names: tuple[str, ...]) -> str:
    """Return what a line says of columns that its own version has set."""
    declared = list(TABLES[table])
    return str(sum(1 << declared.index(name) for name in names))


@cache
def _named(table: str, bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(TABLES[table]) if bits >> place & 1)
