"""What a type is: base type, array, domain, enum. Pure; `type_catalog` asks a database for those that are its own."""

from collections.abc import Mapping

from msgspec import Struct


class PgType(Struct, frozen=True):
    """A type as `pg_type` describes it.

    Attributes:
        name: `typname`. Types are told apart by it, because the OIDs of an extension's types differ between databases.
        element: of an array, the type of its elements.
        delimiter: of an array, what stands between two elements.
        base: of a domain, the type that it narrows.
        base_typmod: of a domain, the modifier of that type.
        labels: of an enum, in order.
        builtin_form: whether `name` says what the values look like: base types, not somebody's composite of that name.
    """

    name: str
    element: "PgType | None" = None
    delimiter: bytes = b","
    base: "PgType | None" = None
    base_typmod: int = -1
    labels: tuple[str, ...] = ()
    builtin_form: bool = True

    @property
    def varies(self) -> bool:
        """Whether a value may be so large that Postgres keeps it outside of the row (TOAST)."""
        return self.name not in _FIXED_SIZE and not self.labels


def length_of(kind: PgType, typmod: int) -> int | None:
    """Return how many characters a column of a type may hold; None for any number, and for what is no text."""
    kind, typmod = without_domain(kind, typmod)
    # Source: varchar.c of PostgreSQL; the modifier counts the four bytes of a header.
    return typmod - 4 if kind.name in ("varchar", "bpchar") and typmod >= 4 else None


def without_domain(kind: PgType, typmod: int) -> tuple[PgType, int]:
    """Return the type that a domain stands for, however deep, and the modifier that goes with it."""
    while kind.base is not None:
        kind, typmod = kind.base, kind.base_typmod
    return kind, typmod


# Name to OID and OID of the array, which never change: PostgreSQL source, src/include/catalog/pg_type.dat.
_OIDS = {
    **{"bool": (16, 1000), "bytea": (17, 1001), "char": (18, 1002), "name": (19, 1003), "int8": (20, 1016)},
    **{"int2": (21, 1005), "int4": (23, 1007), "text": (25, 1009), "oid": (26, 1028), "json": (114, 199)},
    **{"xml": (142, 143), "point": (600, 1017), "float4": (700, 1021), "float8": (701, 1022), "money": (790, 791)},
    **{"macaddr": (829, 1040), "inet": (869, 1041), "cidr": (650, 651), "macaddr8": (774, 775)},
    **{"bpchar": (1042, 1014), "varchar": (1043, 1015), "date": (1082, 1182), "time": (1083, 1183)},
    **{"timestamp": (1114, 1115), "timestamptz": (1184, 1185), "interval": (1186, 1187), "timetz": (1266, 1270)},
    **{"bit": (1560, 1561), "varbit": (1562, 1563), "numeric": (1700, 1231), "uuid": (2950, 2951)},
    **{"tsvector": (3614, 3643), "jsonb": (3802, 3807), "int4range": (3904, 3905), "numrange": (3906, 3907)},
    **{"tsrange": (3908, 3909), "tstzrange": (3910, 3911), "daterange": (3912, 3913), "int8range": (3926, 3927)},
}

_FIXED_SIZE = frozenset(
    {
        *("bool", "char", "name", "int2", "int4", "int8", "oid", "float4", "float8", "money", "point", "uuid"),
        *("macaddr", "macaddr8", "date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    }
)

_SCALARS = {oid: PgType(name) for name, (oid, _) in _OIDS.items()}
_ARRAYS = {array: PgType(f"_{name}", element=_SCALARS[oid]) for name, (oid, array) in _OIDS.items()}
BUILT_IN: Mapping[int, PgType] = {**_SCALARS, **_ARRAYS}

# What cannot be found out (any more): its text is all there is.
UNKNOWN = PgType("unknown", builtin_form=False)
