"""Kinds of stores by name: those of the project, those that other packages bring, and any class by its place.

A kind is a sink class whose constructor takes a msgspec Struct of its options; further arguments have defaults. Its
module is imported when the kind is asked for, so that a driver is needed by those only who use it.
"""

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct

from connectors.sinks.contract import Sink
from schemas.writes import StoreName

EMBEDDED = "embedded"
GROUP = "travelos.sinks"

# Those of the project: where each class lies, by store and name. The extra that brings the driver has the kind's name.
KINDS: Mapping[StoreName, Mapping[str, str]] = {
    "graph": {"neo4j": "connectors.sinks.neo4j:Neo4jSink"},
    "vector": {"pinecone": "connectors.sinks.pinecone:PineconeSink"},
    "search": {"elasticsearch": "connectors.sinks.elasticsearch:ElasticsearchSink"},
    "timeseries": {"influxdb": "connectors.sinks.influxdb:InfluxSink"},
    "cache": {"redis": "connectors.sinks.redis:RedisSink"},
    "objects": {"s3": "connectors.sinks.s3:S3Sink"},
    "warehouse": {"s3": "connectors.sinks.warehouse.s3:S3WarehouseSink"},
}

_SECRET = re.compile(r"password|secret|token|credential|(^|_)api_key$")


class UnknownKind(ValueError):  # noqa: N818 - reads as a statement
    """There is no such kind of store, or it cannot be loaded; the message says what there is, or what to install."""


class BadOption(NamedTuple):
    """An option of a kind that cannot be used; `name` is empty when several together are wrong."""

    name: str
    reason: str


class StoreOption(NamedTuple):
    """One option of a kind of store."""

    name: str
    type: Any
    default: Any  # NODEFAULT: it has to be given
    description: str
    secret: bool


class NoOptions(Struct, frozen=True):
    """The options of a kind that has none."""


class Kind(NamedTuple):
    """A kind of store: makes a sink of its options, without I/O."""

    name: str
    make: Callable[[Any], Sink[Any]]
    options: type[Struct]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its options."""
        return self.options.__struct_fields__

    def described(self) -> Iterator[StoreOption]:
        """Yield the options in the order they are declared."""
        texts = _attributes(self.options)
        for field in msgspec.structs.fields(self.options):
            meta = _meta(field.type)
            default = field.default if field.default_factory is NODEFAULT else field.default_factory()
            secret = bool((meta.extra or {}).get("secret")) if meta else False
            description = (meta.description if meta else None) or texts.get(field.name, "")
            secret = secret or _SECRET.search(field.name) is not None
            yield StoreOption(field.name, field.type, default, description, secret)

    def settle(self, given: Mapping[str, object]) -> Struct | list[BadOption]:
        """Return the options as the kind's struct, or everything that is wrong with them.

        Args:
            given: values by name; a text stands for a number, a flag, or a list with commas, too.
        """
        known = {option.name: option for option in self.described()}
        problems = [BadOption(name, _unknown(name, known, self.name)) for name in given if name not in known]
        values: dict[str, Any] = {}
        for name, option in known.items():
            if name in given:
                try:
                    values[name] = msgspec.convert(_parts(given[name], option.type), option.type, strict=False)
                except msgspec.ValidationError as error:
                    problems.append(BadOption(name, "not what is expected" if option.secret else str(error)))
            elif option.default is NODEFAULT:
                problems.append(BadOption(name, f"it has to be set for the kind {self.name}"))
        if problems:
            return problems
        try:
            return self.options(**values)
        except ValueError as error:
            return [BadOption("", str(error))]


def kind_of(store: StoreName, name: str) -> Kind:
    """Return a kind of store by its name, or by "package.module:Class".

    Raises:
        UnknownKind: there is none, its driver is not installed, or it is no sink.
    """
    if ":" in name:
        return _kind(name, _load(name, EntryPoint(name, name, GROUP)))
    if name in KINDS.get(store, {}):
        place = EntryPoint(name, KINDS[store][name], GROUP)
        hint = f"; install its driver: pip install 'travelos-streams[{name}]'"
        return _kind(name, _load(name, place, hint))
    found = entry_points(group=GROUP, name=name)
    for place in found:
        return _kind(name, _load(name, place))
    there_are = ", ".join(map(repr, names_of(store)))
    raise UnknownKind(f"there is no kind {name!r}; the store {store} can be {there_are} or 'package.module:Class'")


def names_of(store: StoreName) -> list[str]:
    """Return the names of the kinds that a store can be, "embedded" first; those of other packages last."""
    own = [EMBEDDED, *KINDS.get(store, {})]
    return [*own, *sorted({place.name for place in entry_points(group=GROUP)} - set(own))]


def _load(name: str, place: EntryPoint, hint: str = "") -> Any:
    try:
        return place.load()
    except ModuleNotFoundError as error:
        raise UnknownKind(f"the kind {name!r} cannot be loaded: {error}{hint}") from error
    except (ImportError, AttributeError) as error:
        raise UnknownKind(f"the kind {name!r} cannot be loaded: {error}") from error


def _kind(name: str, found: Any) -> Kind:
    missing = [part for part in ("open", "write", "held", "close") if not hasattr(found, part)]
    if not inspect.isclass(found) or missing:
        raise UnknownKind(f"{name!r} is no sink: it is to be a class with limits, open, write, held and close")
    sink = typing.cast("Callable[..., Sink[Any]]", found)
    parameters = list(inspect.signature(sink).parameters.values())
    if not parameters:
        return Kind(name, partial(_without_options, sink), NoOptions)
    options = typing.get_type_hints(found.__init__).get(parameters[0].name)
    needs_more = any(one.default is inspect.Parameter.empty for one in parameters[1:])
    if needs_more or not inspect.isclass(options) or not issubclass(options, Struct):
        raise UnknownKind(f"{name!r}: its constructor is to take one argument, annotated as a msgspec Struct")
    return Kind(name, sink, options)


def _without_options(sink: Callable[[], Sink[Any]], _: Struct) -> Sink[Any]:
    return sink()


def _meta(annotation: Any) -> msgspec.Meta | None:
    found = [one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, msgspec.Meta)]
    return found[0] if found else None


def _attributes(options: type[Struct]) -> dict[str, str]:
    """Return what the class's docstring says of each option: its section "Attributes", in Google's style."""
    _, _, section = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r" {2,4}(\w+)(?: \(.*?\))?: (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
        else:
            name = ""
    return found


def _parts(value: object, annotation: Any) -> object:
    kind = typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
    if isinstance(value, str) and (typing.get_origin(kind) or kind) in (list, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _unknown(name: str, known: Mapping[str, StoreOption], kind: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"the kind {kind} has no such option" + (f"; did you mean `{near[0]}`?" if near else "")
