"""Strategies for the structs of `schemas`: `st.from_type(GpsUpdate)` draws valid ones."""

from datetime import UTC, timedelta, timezone
from typing import Any, cast, get_args

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import NODEFAULT, Struct, inspect

from schemas.changes import Change
from schemas.events import EVENT_TYPES
from schemas.fields import EARLIEST, END, LATEST, NO_CONTROL_CHARACTERS, NO_NUL
from schemas.receipts import Receipt
from schemas.reference import Place, Profile, ResumedEvent, WaitingEvent
from schemas.sensitive import SEALED
from schemas.writes import Write

CHARACTERS = st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=("Cs",))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None) - timedelta(microseconds=1))
TIMES = st.tuples(MOMENTS, OFFSETS).map(lambda drawn: drawn[0].replace(tzinfo=UTC).astimezone(drawn[1]))
DAYS = st.dates(EARLIEST.date(), LATEST.date() - timedelta(days=1))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(CHARACTERS, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=5), inner, max_size=3),
    max_leaves=5,
)


def of_type(kind: inspect.Type) -> SearchStrategy[Any]:  # noqa: PLR0911 - one line for each type
    match kind:
        case inspect.Metadata():
            return of_type(kind.type)
        case inspect.AnyType():
            return JSON_VALUES
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**63) if kind.ge is None else kind.ge, 2**63 - 1 if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return texts(kind)
        case inspect.BytesType():
            return st.binary(min_size=kind.min_length or 0, max_size=50)
        case inspect.DateTimeType():
            return TIMES
        case inspect.DateType():
            return DAYS
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.ListType():
            return st.lists(of_type(kind.item_type), max_size=3)
        case inspect.DictType():
            return st.dictionaries(of_type(kind.key_type), of_type(kind.value_type), max_size=3)
        case inspect.UnionType():
            return st.one_of([of_type(one) for one in kind.types])
        case inspect.StructType():
            return st.from_type(kind.cls)
        case _:
            raise TypeError(f"no values can be drawn of {kind}")


def texts(kind: inspect.StrType) -> SearchStrategy[str]:
    if kind.pattern in (None, NO_CONTROL_CHARACTERS, NO_NUL):
        return st.text(CHARACTERS, min_size=kind.min_length or 0, max_size=20)
    if SEALED in kind.pattern:
        return st.from_regex(kind.pattern.replace(END, r"\Z").removeprefix("^"), fullmatch=True)
    if kind.pattern.startswith("^index:"):
        return st.from_regex(r"index:1:[a-z]{1,4}:[0-9a-f]{64}", fullmatch=True)
    return st.from_regex(r"[A-Z]{3}" if "[A-Z]" in kind.pattern else r"[a-z]{1,5}://[a-z0-9./]{1,20}", fullmatch=True)


def structs(cls: type[Struct]) -> SearchStrategy[Struct]:
    info = cast(inspect.StructType, inspect.type_info(cls))
    fields = {
        field.name: of_type(field.type) if field.default is NODEFAULT else st.just(field.default) | of_type(field.type)
        for field in info.fields
        if field.default_factory is NODEFAULT or field.default is NODEFAULT
    }
    return st.fixed_dictionaries(fields).map(lambda values: cls(**fitting(cls, values)))


def fitting(cls: type[Struct], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with the rules between fields observed."""
    for together in (("lat", "lon"), ("amount", "currency")):
        if cls in EVENT_TYPES and any(values.get(name) is None for name in together):
            values.update({name: None for name in together if name in values})
    if "friend_id" in values and values["friend_id"] == values["user_id"]:
        values["friend_id"] = values["user_id"][:-1] + ("a" if values["user_id"][-1] == "b" else "b")
    if "object_uri" in values:
        values["object_uri"] = None if values["data"] is not None else (values["object_uri"] or "s3://bucket/key")
    if values.get("ends_on") is not None:
        values["starts_on"], values["ends_on"] = sorted((values["starts_on"], values["ends_on"]))
    if values.get("ends_at") is not None:
        values["starts_at"], values["ends_at"] = sorted((values["starts_at"], values["ends_at"]))
    return values


for _kind in (*EVENT_TYPES, *get_args(Write), Change, Receipt, Place, Profile, WaitingEvent, ResumedEvent):
    st.register_type_strategy(_kind, structs(_kind))
