"""docs/configuration.md, from the model of the options."""

import typing
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from msgspec import NODEFAULT
from pydantic import AfterValidator, SecretStr

from connectors.sinks.kinds import KINDS, StoreOption, kind_of
from streams.settings.load import CONFIG_FILE, Option, all_options, variable_of
from streams.settings.model import Options, Store
from streams.settings.section import KEPT_WHOLE, NAME_BYTES

INTRODUCTION = f"""<!-- Written by `travelos config --markdown` from streams/settings/model.py. -->
# Configuration

Every option has a place in a TOML file and an environment variable. Later ones win: default, file, variable, command
line. The file is `{CONFIG_FILE}` in the working directory, or the one that `--config` or `TRAVELOS_CONFIG` names.

```toml
data_dir = "/var/lib/travelos"

[kafka]
bootstrap = "kafka-1:9092,kafka-2:9092"

[source]
tables = ["public.restaurants", "public.places", "public.users"]
```

In a variable a list is separated by commas: `TRAVELOS_SOURCE_TABLES=public.places,public.users`. Secrets belong into
variables; they are never printed.

`travelos config` shows what is in force and where each value comes from. An unknown option or a value that is not
allowed ends every command with exit code 2 and a line that names the option.
"""

KINDS_INTRODUCTION = """### Kinds of stores
A store is embedded unless `kind` names something else: one of those below, one that an installed package brings (entry
point group `travelos.sinks`), or a class by its place, `package.module:Class` ([how to write one](write-a-sink.md)).
The options of the kind stand beside those above, in the file and as variables (`TRAVELOS_STORES_<STORE>_<OPTION>`,
which is where secrets belong):

```toml
[stores.cache]
kind = "mypackage.redis_like:MySink"
url = "redis-like://cache-1:6379"
rate_limit = 5000
```
"""

_TYPES: dict[Any, str] = {
    str: "text",
    SecretStr: "text, secret",
    Path: "path",
    int: "integer",
    float: "number",
    bool: "`true`, `false`",
}


def configuration_page() -> str:
    """Return the text of docs/configuration.md."""
    lines = [INTRODUCTION]
    for section, options in groupby(all_options(), key=_section):
        lines += [f"## {section or 'General'}", "", _about(section), ""]
        lines += ["| option | variable | default | allowed | meaning |", "|---|---|---|---|---|"]
        lines += [_row(option) for option in options]
        lines.append("")
        if section == "stores":
            lines += _kinds()
    return "\n".join(lines)


def _kinds() -> Iterator[str]:
    """Yield what is said of the kinds of stores."""
    yield KINDS_INTRODUCTION
    for store, kinds in KINDS.items():
        for name in kinds:
            yield f"### stores.{store}, kind `{name}`\n"
            yield from ("| option | variable | default | allowed | meaning |", "|---|---|---|---|---|")
            for option in kind_of(store, name).described():
                if option.name in Store.model_fields:
                    continue  # it is listed with those that every kind has
                variable = variable_of(f"stores.{store}.{option.name}")
                default = "" if option.secret else _kind_default(option.default)
                cells = (f"`{option.name}`", f"`{variable}`", default, _kind_type(option), option.description)
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
            yield ""


def _kind_default(value: Any) -> str:
    if value is NODEFAULT:
        return "none: it has to be set"
    if value in (None, "", (), []):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple)):
        return "`" + ", ".join(str(one) for one in typing.cast(Sequence[object], value)) + "`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _kind_type(option: StoreOption) -> str:
    kind = typing.get_args(option.type)[0] if hasattr(option.type, "__metadata__") else option.type
    if typing.get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(kind))
    if (typing.get_origin(kind) or kind) in (list, tuple):
        return "list of text"
    named = [one for one in typing.get_args(kind) or (kind,) if one is not NoneType]
    return _TYPES.get(named[0], "text") + (", secret" if option.secret else "")


def default_text(option: Option) -> str:
    """Return the default as it would be written in the file; "" for none."""
    value = option.field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr) or value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(one) for one in typing.cast(list[object], value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(option: Option) -> str:
    """Return the type of an option and what its values may be, in words."""
    annotation = option.field.annotation
    if typing.get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is list:
        return "list of text"
    kinds = [kind for kind in typing.get_args(annotation) or (annotation,) if kind is not NoneType]
    return "; ".join([_TYPES[kinds[0]], *_limits(option)])


def _limits(option: Option) -> Iterator[str]:
    for limit in option.field.metadata:
        match limit:
            case Ge():
                yield f"from {limit.ge}"
            case Gt():
                yield f"above {limit.gt}"
            case Le():
                yield f"up to {limit.le}"
            case Lt():
                yield f"below {limit.lt}"
            case MinLen():
                yield f"{limit.min_length} or more characters"
            case MaxLen():
                yield f"up to {limit.max_length} characters"
            case AfterValidator() if limit == KEPT_WHOLE:
                yield f"up to {NAME_BYTES} bytes"
            case _ if (pattern := getattr(limit, "pattern", None)) is not None:
                yield f"matching `{pattern}`"
            case _:
                raise TypeError(f"option `{option.name}` has a limit that the documentation cannot name: {limit!r}")


def _section(option: Option) -> str:
    return option.name.split(".")[0] if "." in option.name else ""


def _about(section: str) -> str:
    if not section:
        return (Options.__doc__ or "").partition(". ")[2].strip()
    kind = Options.model_fields[section].annotation
    return (kind.__doc__ or "").strip()


def _row(option: Option) -> str:
    default = default_text(option)
    cells = (
        f"`{option.name}`",
        f"`{option.variable}`",
        f"`{default}`" if default else "",
        allowed(option),
        option.field.description or "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
