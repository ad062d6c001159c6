from pathlib import Path

import pytest

import streams
from streams.settings import Option, Options, all_options
from streams.settings.document import allowed, configuration_page, default_text

PAGE = Path(streams.__file__).parents[1] / "docs" / "configuration.md"
OPTIONS = {option.name: option for option in all_options()}


def test_the_committed_page_is_what_the_model_says() -> None:
    assert PAGE.read_text("utf-8") == configuration_page(), "run `travelos config --markdown > docs/configuration.md`"


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_described_and_documented(option: Option) -> None:
    assert option.field.description
    assert f"| `{option.name}` | `{option.variable}` |" in configuration_page()


def test_every_section_says_what_it_is_about() -> None:
    page = configuration_page()
    for name, field in Options.model_fields.items():
        kind = field.annotation
        if name != "data_dir":
            assert f"## {name}\n\n{kind.__doc__}\n" in page


def test_what_is_allowed_is_said_in_words() -> None:
    assert allowed(OPTIONS["kafka.partitions"]) == "integer; from 1; up to 1000"
    assert allowed(OPTIONS["enrich.jump_kmh"]) == "number; above 0"
    assert allowed(OPTIONS["log.format"]) == "`console`, `json`"
    assert allowed(OPTIONS["kafka.ca_file"]) == "path"
    assert allowed(OPTIONS["kafka.password"]) == "text, secret"
    assert allowed(OPTIONS["source.tables"]) == "list of text"
    assert allowed(OPTIONS["source.slot"]) == "text; matching `^[a-z0-9_]{1,63}$`"


def test_defaults_are_written_as_in_the_file() -> None:
    assert default_text(OPTIONS["kafka.create_topics"]) == "true"
    assert default_text(OPTIONS["kafka.password"]) == ""
    assert default_text(OPTIONS["data_dir"]) == "travelos-data"
    assert default_text(OPTIONS["deliver.backoff_seconds"]) == "0.1"
