"""Read the options: defaults < `travelos.toml` < `TRAVELOS_*` variables < command line, each value with its origin."""

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streams.runtime.faults import VARIABLE as FAULT_VARIABLE
from streams.settings.kinds import may_be_of_a_kind, problems_of
from streams.settings.model import Options

ENV_PREFIX = "TRAVELOS_"
CONFIG_FILE = "travelos.toml"
# No options: where the options' file lies, which role a bare `faust` worker runs, where downloads go, and where tests
# have a worker end.
CONFIG_VARIABLE = "TRAVELOS_CONFIG"
OTHER_VARIABLES = {CONFIG_VARIABLE, FAULT_VARIABLE, "TRAVELOS_ROLE", "TRAVELOS_CACHE"}

MASK = "********"
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")

Tree = dict[str, Any]


def without_login(text: str) -> str:
    """Return a text in which the logins of addresses are masked."""
    return _URL_LOGIN.sub(MASK, text)


class SettingsError(ValueError):
    """Options that cannot be used; one line for each, with the option, its origin, its value and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Option(NamedTuple):
    """One option: its dotted name, its field, the variable that sets it."""

    name: str
    field: FieldInfo
    variable: str

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return self.field.annotation is SecretStr

    def shown(self, value: Any) -> Any:
        """Return a value of this option as it may be shown: secrets, and logins in addresses, masked."""
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if self.secret:
            return MASK if value else ""
        return without_login(value) if isinstance(value, str) else value


class Loaded(NamedTuple):
    """The options in force, and for each dotted name where its value came from."""

    options: Options
    origins: dict[str, str]


def all_options(model: type[BaseModel] = Options, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield every option of the model, depth first, in the order they are declared."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from all_options(inner, here)
        else:
            yield Option(".".join(here), field, variable_of(".".join(here)))


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Return the options in force.

    Args:
        file: the TOML file; by default the one named by TRAVELOS_CONFIG, else `travelos.toml` here if there is one.
        environ: the environment; by default this process's.
        overrides: values by dotted name, from the command line.

    Raises:
        SettingsError: an option is unknown or has a value that is not allowed, or the file cannot be read.
    """
    environ = os.environ if environ is None else environ
    path = file or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    from_file = _read_toml(path)
    file_name = str(path or CONFIG_FILE)
    known = {option.name: option for option in all_options()}
    variables = {option.variable: option for option in known.values()}
    problems = [
        _unknown(name, known, f"in {file_name}")
        for name in _names(from_file)
        if name not in known and not may_be_of_a_kind(name)
    ]
    others = {
        name: _kind_option(name)
        for name in environ
        if name.startswith(ENV_PREFIX) and name not in variables and name not in OTHER_VARIABLES
    }
    problems += [_unknown(name, variables, "in the environment") for name, option in others.items() if option is None]
    if problems:
        raise SettingsError(problems)
    from_env: dict[str, Any] = {option: environ[name] for name, option in others.items() if option is not None}
    from_env |= {
        option.name: _from_text(environ[name], option) for name, option in variables.items() if name in environ
    }
    layers: list[tuple[str | None, Mapping[str, Any]]] = [
        (file_name, _leaves(from_file)),
        (None, from_env),
        ("command line", {name: value for name, value in (overrides or {}).items() if value is not None}),
    ]
    origins = dict.fromkeys(known, "default")
    for origin, values in layers:
        origins.update({name: origin or variable_of(name) for name in values})
    trees = [_tree(values) for _, values in layers]
    try:
        options = _settings_class(trees)().options()
    except ValidationError as error:
        raise SettingsError([_describe(one, known, origins) for one in error.errors()]) from None
    if problems := list(problems_of(options.stores, origins)):
        raise SettingsError(problems)
    return Loaded(options, origins)


def variable_of(name: str) -> str:
    """Return the variable that sets the option with a dotted name."""
    return ENV_PREFIX + name.replace(".", "_").upper()


class _LayeredOptions(Options, BaseSettings):
    """The options as pydantic-settings reads them; which layers, a subclass says."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    def options(self) -> Options:
        return Options.model_construct(**{name: getattr(self, name) for name in Options.model_fields})


class _Layer(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], tree: Tree) -> None:
        super().__init__(settings_cls)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> Tree:
        return self._tree


def _settings_class(trees: list[Tree]) -> type[_LayeredOptions]:
    class Layered(_LayeredOptions):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(_Layer(settings_cls, tree) for tree in reversed(trees))  # the first source wins

    return Layered


def _read_toml(path: Path | None) -> Tree:
    if path is None and not Path(CONFIG_FILE).is_file():
        return {}
    path = path or Path(CONFIG_FILE)
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} is not TOML: {error}"]) from error


def _leaves(tree: Tree, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            found.update(_leaves(typing.cast(Tree, value), here))
        else:
            found[here] = value
    return found


def _names(tree: Tree, path: str = "") -> Iterator[str]:
    """Yield the names that a file sets, those of sections that are unknown and empty included."""
    options = [option.name for option in all_options()]
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and (value or any(option.startswith(f"{here}.") for option in options)):
            yield from _names(typing.cast(Tree, value), here)
        else:
            yield here


def _tree(values: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        here = tree
        for section in sections:
            here = here.setdefault(section, {})
        here[leaf] = value
    return tree


def _kind_option(variable: str) -> str | None:
    """Return the dotted name of a kind's option that a variable sets; None when it is none."""
    words = variable.removeprefix(ENV_PREFIX).lower().split("_", 2)
    name = ".".join(words)
    return name if len(words) == 3 and may_be_of_a_kind(name) else None


def _from_text(text: str, option: Option) -> Any:
    if typing.get_origin(option.field.annotation) is list:
        return [part.strip() for part in text.split(",") if part.strip()]
    return None if text == "" and type(None) in typing.get_args(option.field.annotation) else text


def _unknown(name: str, known: Mapping[str, Option], where: str) -> str:
    if any(option.startswith(f"{name}.") for option in known):
        return f"`{name}` {where} is a section, not an option: write [{name}] and its options below it"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"unknown option `{name}` {where}" + (f"; did you mean `{near[0]}`?" if near else "")


def _describe(error: Any, known: Mapping[str, Option], origins: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    while name not in known and "." in name:  # an index into a list, or a branch of a union
        name = name.rpartition(".")[0]
    option = known.get(name)
    given = repr(error["input"] if option is None else option.shown(error["input"]))
    return f"option `{name}` (from {origins.get(name, '?')}) cannot be {given}: {error['msg']}"
