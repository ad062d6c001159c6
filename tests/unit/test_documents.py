"""The generated pages of docs/ fit the code, and one command writes them all."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from streams.documents import PAGES, command

DOCS = Path(__file__).parents[2] / "docs"

app = typer.Typer()
app.command()(command)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_code_generates(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), "run `python -m streams.documents`"


def test_every_page_is_written_and_fits_from_then_on(tmp_path: Path) -> None:
    assert run("--folder", str(tmp_path), "--check").exit_code == 1
    assert run("--folder", str(tmp_path)).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
    assert run("--folder", str(tmp_path), "--check").exit_code == 0
    assert run("--folder", str(tmp_path)).output == ""


def test_a_page_that_does_not_fit_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    run("--folder", str(tmp_path))
    (tmp_path / "routing.md").write_text("something else")
    found = run("--folder", str(tmp_path), "--check")
    assert found.exit_code == 1
    assert "routing.md" in found.output
    assert "events.md" not in found.output
    assert (tmp_path / "routing.md").read_text() == "something else"


def test_a_folder_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    found = run("--folder", str(tmp_path / "nowhere"))
    assert found.exit_code == 1
    assert "nowhere" in found.output
