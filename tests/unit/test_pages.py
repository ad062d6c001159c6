"""What the pages say: links lead somewhere, tests that are named exist, and so do commands, options and targets."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from connectors.sinks.kinds import KINDS, Kind, kind_of
from streams.cli.main import command_line
from streams.settings import all_options
from streams.settings.load import variable_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SINKS = {page.stem.removeprefix("sink-"): page for page in PAGES if page.name.startswith("sink-")}
FORM = ["What it writes", "Options", "Guarantees", "Limits", "Types", "Operating", "Measured"]
TRIALS = [
    "its worker is killed 20 times under load",
    "its server is killed under load",
    "its network fails",
    "it has no room",
    "one write is bad",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STARTERS = ("travelos", ".venv/bin/travelos")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every call of our command line in the shell examples, with its page."""
    for page in PAGES:
        for language, block in BLOCK.findall(page.read_text("utf-8")):
            if language not in ("", "sh"):
                continue
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"\||;|&&", line.partition(" #")[0]):
                    words = part.split()
                    if words and words[0] in STARTERS:
                        yield page.name, shlex.split(part.replace("$(", "").replace(")", ""))[1:]


def section(name: str, heading: str) -> str:
    """Return a section of a sink's page."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", SINKS[name].read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1]


def kinds_with_a_page() -> dict[str, Kind]:
    """Return the kinds of stores by the names of their pages: `s3` is two of them."""
    return {
        "warehouse" if store == "warehouse" else name: kind_of(store, name)
        for store, kinds in KINDS.items()
        for name in kinds
    }


def test_every_kind_of_store_has_a_page() -> None:
    assert SINKS.keys() == {*kinds_with_a_page(), "postgres"}


@pytest.mark.parametrize("name", SINKS)
def test_the_pages_of_all_sinks_have_the_same_form(name: str) -> None:
    assert re.findall(r"^## (.*)$", SINKS[name].read_text("utf-8"), re.MULTILINE) == FORM
    assert all(section(name, heading).strip() for heading in FORM)


@pytest.mark.parametrize("name", SINKS)
def test_the_page_of_a_sink_says_for_each_trial_what_shows_it(name: str) -> None:
    _, _, trials = section(name, "Guarantees").partition("### Put to the test\n")
    rows = re.findall(r"^\| (i[^|]*|one[^|]*) \| (.*) \|$", trials, re.MULTILINE)
    assert [trial for trial, _ in rows] == TRIALS
    assert [trial for trial, proof in rows if not re.search(r"`(test_|make )", proof)] == []


@pytest.mark.parametrize(
    ("name", "kind"), kinds_with_a_page().items(), ids=lambda one: one if isinstance(one, str) else ""
)
def test_the_page_of_a_sink_names_each_of_its_options(name: str, kind: Kind) -> None:
    options = section(name, "Options")
    if "sink-s3.md#options" in options:
        options += section("s3", "Options")
    assert {option.name for option in kind.described()} - set(re.findall(r"`(\w+)`", options)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text("utf-8")) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8"))}
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "connectors" / "sinks" / "conformance").rglob("*.py")]
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text("utf-8"))}
    assert named - defined == set()


def test_every_make_target_that_a_page_names_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"^make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)}
    named |= {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - targets == set()


def test_every_variable_that_a_page_names_is_an_option() -> None:
    known = {option.variable for option in all_options()} | {"TRAVELOS_CONFIG", "TRAVELOS_ROLE", "TRAVELOS_CACHE"}
    for store, kinds in KINDS.items():
        described = [option for kind in kinds for option in kind_of(store, kind).described()]
        known |= {variable_of(f"stores.{store}.{option.name}") for option in described}
    named = {name for page in PAGES for name in re.findall(r"TRAVELOS_[A-Z_]*[A-Z]\b", page.read_text("utf-8"))}
    assert named - known == set()


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=str)
def test_every_command_of_an_example_exists_with_its_options(page: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(command_line(words))
    left = iter(words)
    while hasattr(command, "commands"):
        command = command.commands[next(left)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert [word for word in left if word.startswith("--") and word not in known] == [], page
