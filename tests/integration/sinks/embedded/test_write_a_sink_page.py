"""docs/write-a-sink.md is true: its sink passes the kit, broken ones do not, and it can be chosen in every way."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.kinds import kind_of, names_of
from connectors.sinks.pytest_plugin import conformance_of
from schemas.writes import CacheWrite
from streams.settings import load
from streams.stores import sink_of

ROOT = Path(__file__).parents[4]
FILE = re.compile(r"`(notes/\w+\.py)`:\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FEW = """
from notes.conformance import NotesConformance

class Few(NotesConformance):
    def good(self, entity, version, source, content):
        assert content < 20
        return super().good(entity, version, source, content)
"""
FILES = dict(FILE.findall((ROOT / "docs" / "write-a-sink.md").read_text("utf-8")))


class Unfinished(SinkConformance[CacheWrite]):
    """Lacks everything."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page, where Python finds it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    for name in [one for one in sys.modules if one.partition(".")[0] == "notes"]:
        del sys.modules[name]


def pytest_on(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "connectors.sinks.pytest_plugin"]
    path = os.pathsep.join([str(package), str(ROOT)])
    return subprocess.run(
        [*command, *arguments],
        cwd=package,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_has_the_files_that_it_speaks_of() -> None:
    assert set(FILES) == {"notes/__init__.py", "notes/conformance.py"}


def test_the_sink_of_the_page_passes_the_whole_kit(package: Path) -> None:
    done = pytest_on(package, "--sink", "notes:NotesSink")
    assert done.returncode == 0, done.stdout + done.stderr
    behaviours = [name for name in dir(SinkConformance) if name.startswith("test_")]
    assert f"{len(behaviours)} passed" in done.stdout


def test_of_how_many_writes_one_is_bad_can_be_said(package: Path) -> None:
    (package / "notes" / "few.py").write_text(FEW)
    arguments = ("--sink", "notes.few:Few", "-k", "bad_write_is_rejected")
    assert pytest_on(package, *arguments, "--among", "20").returncode == 0
    assert pytest_on(package, *arguments, "--among", "21").returncode == 1


def test_the_sink_of_the_page_fails_the_kit_without_its_version_guard(package: Path) -> None:
    source = package / "notes" / "__init__.py"
    source.write_text(source.read_text().replace(' WHERE versions.version <= ?"', ' WHERE ? IS NOT NULL"'))
    done = pytest_on(package, "--sink", "notes.conformance:NotesConformance", "-k", "superseded or late_upsert")
    assert done.returncode == 1
    assert "test_a_late_upsert_does_not_bring_a_deleted_entity_back" in done.stdout


def test_the_kit_runs_on_a_package_in_a_hidden_folder_where_pytest_does_not_look_by_itself(package: Path) -> None:
    hidden = package / ".venv" / "site-packages"
    hidden.mkdir(parents=True)
    (package / ".venv" / "pyvenv.cfg").touch()
    (package / "notes").rename(hidden / "notes")
    done = pytest_on(package, "--sink", "notes:NotesSink", "-k", "empty_batch", "--import-mode=importlib")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR  # it is not on the path
    arguments = ("--sink", "notes:NotesSink", "-k", "empty_batch", "-p", "no:cacheprovider")
    command = f"import sys; sys.path.insert(0, {str(hidden)!r}); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "-q", "-p", "connectors.sinks.pytest_plugin", *arguments],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_option_the_plugin_changes_nothing(package: Path) -> None:
    (package / "test_own.py").write_text("def test_own() -> None: ...\n")
    done = pytest_on(package)
    assert done.returncode == 0
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere:Sink", "nowhere:Sink cannot be loaded"),
        ("connectors.sinks.contract:Nothing", "cannot be loaded"),
        ("connectors.sinks.contract:APPLIED", "is no class"),
        ("connectors.sinks.contract:Held", "give the class an attribute `conformance`"),
        (f"{__name__}:Unfinished", "Unfinished lacks bad, content, good, sink"),
    ],
)
def test_what_is_no_sink_with_tests_is_refused_with_what_to_write(target: str, reason: str) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        conformance_of(target)
    assert reason in str(caught.value)


def test_the_sink_of_the_page_is_chosen_by_its_place(package: Path) -> None:
    Path("travelos.toml").write_text('[stores.cache]\nkind = "notes:NotesSink"\npath = "notes.db"\n')
    sink = sink_of("cache", load(environ={}).options)
    assert type(sink).__name__ == "NotesSink"
    sink.open()
    sink.close()
    assert Path("notes.db").is_file()


def test_the_sink_of_the_page_is_chosen_by_the_name_of_its_entry_point(package: Path) -> None:
    installed = package / "notes-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: notes\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[travelos.sinks]\nnotes = notes:NotesSink\n")
    assert "notes" in names_of("cache")
    assert [option.name for option in kind_of("cache", "notes").described()] == ["path", "patience"]
