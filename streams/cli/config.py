"""`travelos config`: the options in force and where each value comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from streams.cli.common import AsJson, ConfigFile, load_options, print_rows
from streams.settings import Option, Options, all_options, load
from streams.settings.document import configuration_page
from streams.settings.kinds import kind_options
from streams.settings.load import MASK, without_login

Markdown = Annotated[bool, typer.Option("--markdown", help="Print docs/configuration.md instead.")]


def command(config: ConfigFile = None, as_json: AsJson = False, markdown: Markdown = False) -> None:
    """Print every option with its value, where the value comes from, and what it means. Secrets are masked.

    Exit codes: 0 printed, 2 an option is unknown or has a value that is not allowed.
    """
    if markdown:
        print(configuration_page(), end="")  # noqa: T201 - this is the output
        return
    load_options(config)  # leaves with a message when they cannot be used
    loaded = load(file=config)
    rows = [
        {
            "option": option.name,
            "value": _value(loaded.options, option),
            "origin": loaded.origins[option.name],
            "description": option.field.description,
        }
        for option in all_options()
    ]
    rows += [
        {
            "option": one.name,
            "value": MASK if one.option.secret and one.value else _shown(one.value),
            "origin": loaded.origins.get(one.name, "default"),
            "description": one.option.description,
        }
        for one in kind_options(loaded.options.stores)
    ]
    print_rows(rows if as_json else [_as_text(row) for row in rows], as_json=as_json)


def _value(options: Options, option: Option) -> Any:
    value: Any = options
    for part in option.name.split("."):
        value = getattr(value, part)
    shown = option.shown(value)
    return str(shown) if isinstance(shown, Path) else shown


def _shown(value: Any) -> Any:
    return without_login(value) if isinstance(value, str) else value


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    value = row["value"]
    return {**row, "value": ", ".join(cast(Sequence[str], value)) if isinstance(value, (list, tuple)) else value}
