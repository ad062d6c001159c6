"""Which kind of store is meant, and the options of a kind: in the file, in variables, from the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome
from connectors.sinks.kinds import KINDS, UnknownKind, kind_of
from schemas.writes import CacheWrite
from streams.settings import Loaded, SettingsError, load
from streams.settings.document import configuration_page
from streams.settings.kinds import kind_options
from streams.stores import sink_of

HERE = f"{__name__}:StandInSink"


class StandInOptions(Struct, frozen=True, kw_only=True):
    """Options of every type.

    Attributes:
        url: where it is; the text goes on
            in the next line.
        mode: how.
    """

    url: str
    password: str = ""
    port: Annotated[int, Meta(ge=1, description="where it listens")] = 80
    fast: bool = False
    hosts: tuple[str, ...] = ()
    mode: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.url == "bad://":
            raise ValueError("`url` and `mode` do not fit together")


class StandInSink:
    limits = Limits()

    def __init__(self, options: StandInOptions) -> None:
        self.options = options

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        return [APPLIED for _ in batch]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {}


class BatchingOptions(Struct, frozen=True, kw_only=True):
    """Of a kind that prepares for the size of its batches."""

    batch_records: int = 10


class Batching(StandInSink):
    def __init__(self, options: BatchingOptions) -> None:
        self.options: Any = options


class WithoutOptions(StandInSink):
    def __init__(self) -> None:
        super().__init__(StandInOptions(url=""))


class TakesTwo(StandInSink):
    def __init__(self, options: StandInOptions, more: int) -> None:
        super().__init__(options)


class NoSink:
    def __init__(self, options: StandInOptions) -> None: ...


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(toml: str = "", environ: Mapping[str, str] | None = None, **overrides: Any) -> Loaded:
    Path("options.toml").write_text(f'[stores.cache]\nkind = "{HERE}"\n{toml}')
    names = {name.replace("__", "."): value for name, value in overrides.items()}
    return load(file=Path("options.toml"), environ=environ or {}, overrides=names)


def problems(toml: str = "", environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(toml, environ)
    return caught.value.problems


def options_of(found: Loaded) -> StandInOptions:
    sink: Any = sink_of("cache", found.options)
    return sink.options


def test_a_kind_gets_its_options_from_the_file_variables_and_the_command_line_the_later_winning() -> None:
    environ = {
        "TRAVELOS_STORES_CACHE_PORT": "81",
        "TRAVELOS_STORES_CACHE_PASSWORD": "hidden",
        "TRAVELOS_STORES_CACHE_FAST": "true",
        "TRAVELOS_STORES_CACHE_HOSTS": "a, b",
    }
    found = loaded('url = "x://"\nport = 90', environ, stores__cache__mode="b")
    assert options_of(found) == StandInOptions(
        url="x://", port=81, password="hidden", fast=True, hosts=("a", "b"), mode="b"
    )
    assert found.origins["stores.cache.url"] == "options.toml"
    assert found.origins["stores.cache.port"] == "TRAVELOS_STORES_CACHE_PORT"
    assert found.origins["stores.cache.mode"] == "command line"


def test_an_option_of_a_kind_that_every_store_has_reaches_both(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(
        environ={"TRAVELOS_STORES_RELATIONAL_URL": "x://", "TRAVELOS_STORES_RELATIONAL_KIND": HERE},
        overrides={"stores.cache.kind": f"{__name__}:Batching", "stores.cache.batch_records": 7},
    )
    sinks: list[Any] = [sink_of("relational", found.options), sink_of("cache", found.options)]
    assert sinks[0].options.url == "x://"
    assert sinks[1].options.batch_records == found.options.stores.cache.batch_records == 7
    assert [
        one.name for one in kind_options(found.options.stores) if one.name.endswith((".url", ".batch_records"))
    ] == []


def test_the_frameworks_own_options_of_a_store_do_not_reach_the_kind() -> None:
    found = loaded('url = "x://"\nrate_limit = 5\nrequests = 2')
    assert options_of(found) == StandInOptions(url="x://")
    assert found.options.stores.cache.rate_limit == 5


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("", "option `stores.cache.url` (from default): it has to be set for the kind"),
        (
            'url = "x"\nprot = 1',
            f"option `stores.cache.prot` (from options.toml): the kind {HERE} has no such option; did you mean `port`?",
        ),
        ('url = "x"\nport = "many"', "option `stores.cache.port` (from options.toml): Expected `int`, got `str`"),
        ('url = "x"\nport = 0', "option `stores.cache.port` (from options.toml): Expected `int` >= 1"),
        (
            'url = "bad://"',
            "option `stores.cache.kind` (from options.toml): `url` and `mode` do not fit together",
        ),
        (
            '[stores.graph]\nurl = "x"',
            "option `stores.graph.url` (from options.toml): the kind embedded has no such option",
        ),
    ],
)
def test_an_option_that_the_kind_does_not_take_is_named_when_the_options_are_read(toml: str, problem: str) -> None:
    if "[stores.graph]" in toml:
        toml = f'url = "x"\n{toml}'
    assert [found for found in problems(toml) if found.startswith(problem)], problems(toml)


def test_a_variable_that_no_kind_can_have_is_still_unknown() -> None:
    assert "unknown option `TRAVELOS_STORES_CASH_URL`" in problems('url = "x"', {"TRAVELOS_STORES_CASH_URL": "x"})[0]


def test_what_a_kind_is_given_is_in_no_text_of_the_options() -> None:
    found = loaded('url = "x://"', {"TRAVELOS_STORES_CACHE_PASSWORD": "hidden"})
    assert "hidden" not in repr(found.options)
    assert "hidden" not in str(found.options.stores)
    assert "hidden" not in str(problems('url = "x://"\nport = "?"', {"TRAVELOS_STORES_CACHE_PASSWORD": "hidden"}))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("redsi", "there is no kind 'redsi'; the store cache can be 'embedded'"),
        ("no_such_package:Sink", "cannot be loaded: No module named 'no_such_package'"),
        (f"{__name__}:NoSuchSink", "cannot be loaded"),
        (f"{__name__}:NoSink", "is no sink"),
        (f"{__name__}:loaded", "is no sink"),
        (f"{__name__}:TakesTwo", "its constructor is to take one argument"),
    ],
)
def test_a_kind_that_there_is_not_or_that_is_no_sink_says_so(kind: str, reason: str) -> None:
    with pytest.raises(UnknownKind) as caught:
        kind_of("cache", kind)
    assert reason in str(caught.value)


def test_a_kind_may_have_no_options() -> None:
    assert isinstance(kind_of("cache", f"{__name__}:WithoutOptions").make(None), WithoutOptions)


def test_options_are_described_by_their_annotation_or_by_the_docstring() -> None:
    described = {option.name: option for option in kind_of("cache", HERE).described()}
    assert described["url"].description == "where it is; the text goes on in the next line."
    assert described["port"].description == "where it listens"
    assert described["mode"].description == "how."
    assert [name for name, option in described.items() if option.secret] == ["password"]


def test_every_kind_of_the_project_can_be_made_and_each_of_its_options_is_described_in_the_page() -> None:
    page = configuration_page()
    for store, kinds in KINDS.items():
        for name in kinds:
            assert f"### stores.{store}, kind `{name}`" in page
            for option in kind_of(store, name).described():
                assert option.description, f"{store} {name} {option.name}"
