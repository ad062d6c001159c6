"""The command line as a whole: which commands there are, what each says of itself, and that only one is loaded."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner, Result

from streams import cli
from streams.cli import common
from streams.cli.main import COMMANDS, command_line, main

HEAVY = ("faust", "confluent_kafka", "psycopg", "pyarrow", "numpy", "pydantic")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.out, "width", 200)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command_line(arguments), list(arguments))


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the commands that do something, below one of the command line."""
    below: Mapping[str, Any] | None = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from leaves(one, (*path, name))


def loaded(name: str) -> Any:
    whole: Any = typer.main.get_command(command_line([name]))
    return whole.commands[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_subcommand_prints_its_help(name: str) -> None:
    found = dict(leaves(loaded(name), (name,)))
    assert found
    for path in found:
        for flag in ("--help", "-h"):
            result = run(*path, flag)
            assert (result.exit_code, result.stderr) == (0, "")
            assert "Usage" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_its_exit_codes_mean(name: str) -> None:
    for path, one in leaves(loaded(name), (name,)):
        assert "Exit codes: 0 " in f"{one.help} {one.epilog}", path


def test_the_help_lists_every_command_and_what_it_does() -> None:
    for arguments in (["--help"], ["-h"]):
        result = run(*arguments)
        assert result.exit_code == 0
        for name in COMMANDS:
            assert f" {name} " in result.stdout


def test_without_a_command_it_prints_the_help_and_ends_with_2() -> None:
    result = run()
    assert result.exit_code == 2
    assert "Usage" in result.output


@pytest.mark.parametrize("arguments", [("nonsense",), ("--colour",), ("--colour", "dlq"), ("dql", "list")])
def test_a_command_or_option_that_there_is_not_ends_with_2_and_is_named(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[0] in result.stderr


def test_a_command_is_not_loaded_before_it_is_named() -> None:
    program = (
        "import sys; from streams.cli.main import command_line; import typer; "
        "typer.main.get_command(command_line(['--help'])); print([one for one in sys.argv[1:] if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_program_that_is_installed_is_this_one() -> None:
    (found,) = entry_points(group="console_scripts", name="travelos")
    assert found.load() is main is cli.main


def test_main_takes_the_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["travelos", "config", "--nonsense"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--nonsense" in capsys.readouterr().err
