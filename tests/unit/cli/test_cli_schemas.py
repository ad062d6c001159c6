import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from schemas.generate import SUBJECTS, generate, json_schema
from streams.cli.schemas import app

GENERATED = Path("schemas", "generated")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything generated and released, to be copied: making it takes two seconds."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "pyproject.toml").touch()
    assert run("generate", tree / GENERATED).exit_code == 0
    assert run("release", tree / GENERATED, "--all").exit_code == 0
    return tree


@pytest.fixture
def folder(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a test's own with everything generated and released."""
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    return tmp_path / GENERATED


def run(command: str, folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [command, "--folder", str(folder), *arguments])


def released(folder: Path, subject: str, version: int) -> Path:
    return folder / "versions" / subject / f"{version}.json"


def with_latitude(folder: Path, subject: str, version: int, maximum: int) -> None:
    """Write a released version whose latitude goes up to `maximum`."""
    schema = json_schema(subject)
    schema["$defs"]["GpsUpdate"]["properties"]["lat"]["maximum"] = maximum
    released(folder, subject, version).write_text(json.dumps(schema))


def test_what_was_just_generated_and_released_passes(folder: Path) -> None:
    result = run("check", folder)
    assert (result.exit_code, result.output) == (0, "")


def test_generate_writes_every_file_and_the_page_of_events(folder: Path) -> None:
    for path, text in generate().items():
        assert (folder / path).read_text("utf-8") == text
    assert (folder.parents[1] / "docs" / "events.md").is_file()


def test_generate_deletes_what_is_of_no_subject(folder: Path) -> None:
    stale = folder / "jsonschema" / "gone.json"
    stale.write_text("{}")
    assert run("check", folder).exit_code == 1
    assert run("generate", folder).exit_code == 0
    assert not stale.exists()


def test_outside_a_source_tree_there_is_no_page(tmp_path: Path) -> None:
    assert run("generate", tmp_path / "schemas" / "generated").exit_code == 0
    assert not (tmp_path / "docs").exists()


def test_drift_is_an_error_that_names_the_file_and_the_command(folder: Path) -> None:
    (folder / "jsonschema" / "event.json").write_text("{}")
    (folder / "asyncapi.json").unlink()
    result = run("check", folder)
    assert result.exit_code == 1
    assert "event.json differs" in result.stdout
    assert "asyncapi.json is missing" in result.stdout
    assert "travelos schemas generate" in result.stderr


def test_an_incompatible_change_names_the_field_the_reason_and_the_version(folder: Path) -> None:
    with_latitude(folder, "event", 1, 95)
    result = run("check", folder)
    assert result.exit_code == 1
    assert result.stdout == "event: gps_update.lat: maximum lowered from 95 to 90 (against version 1)\n"


def test_every_released_version_is_checked_not_only_the_last_one(folder: Path) -> None:
    with_latitude(folder, "event", 1, 95)
    with_latitude(folder, "event", 2, 90)
    assert "(against version 1)" in run("check", folder).stdout


def test_a_machine_reads_the_same_as_json(folder: Path) -> None:
    with_latitude(folder, "event", 1, 95)
    (folder / "jsonschema" / "place.json").unlink()
    result = run("check", folder, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert len(found["drift"]) == 1
    [incompatible] = found["incompatible"]
    assert incompatible["path"] == "gps_update.lat"


def test_an_incompatible_schema_is_not_released(folder: Path) -> None:
    with_latitude(folder, "event", 1, 95)
    result = run("release", folder, "event")
    assert result.exit_code == 1
    assert "gps_update.lat: maximum lowered from 95 to 90" in result.stderr
    assert not released(folder, "event", 2).exists()


def test_a_changed_schema_is_released_as_the_next_version(folder: Path) -> None:
    with_latitude(folder, "event", 1, 80)
    assert "event: version 2" in run("release", folder, "event").stdout
    assert json.loads(released(folder, "event", 2).read_text()) == json_schema("event")
    assert run("check", folder).exit_code == 0


def test_an_unchanged_schema_is_not_released_again(folder: Path) -> None:
    result = run("release", folder, "--all")
    assert result.exit_code == 0
    assert result.stdout.count("unchanged") == len(SUBJECTS)
    assert not released(folder, "event", 2).exists()


@pytest.mark.parametrize("arguments", [[], ["event", "--all"], ["evnt"]])
def test_release_wants_one_known_subject_or_all(folder: Path, arguments: list[str]) -> None:
    assert run("release", folder, *arguments).exit_code == 2


def test_an_unknown_subject_comes_with_a_suggestion(folder: Path) -> None:
    result = run("show", folder, "gps_event")
    assert result.exit_code == 2
    assert "no subject `gps_event`" in result.stderr


def test_list_says_what_is_released_and_what_changed_since(folder: Path) -> None:
    with_latitude(folder, "event", 1, 80)
    rows = {row["subject"]: row for row in json.loads(run("list", folder, "--json").stdout)}
    assert rows["event"] == {"subject": "event", "version": 1, "changed": True}
    assert rows["place"] == {"subject": "place", "version": 1, "changed": False}
    assert set(rows) == set(SUBJECTS)
    assert "place" in run("list", folder).stdout


def test_show_prints_a_schema_of_now_or_of_a_version(folder: Path) -> None:
    with_latitude(folder, "event", 1, 80)
    assert json.loads(run("show", folder, "event").stdout) == json_schema("event")
    old = json.loads(run("show", folder, "event", "--version", "1").stdout)
    assert old["$defs"]["GpsUpdate"]["properties"]["lat"]["maximum"] == 80
    assert run("show", folder, "event", "--version", "7").exit_code == 2


def test_a_broken_released_version_is_named(folder: Path) -> None:
    released(folder, "event", 1).write_text("{")
    result = run("check", folder)
    assert result.exit_code == 1
    assert "event/1.json is no released version" in result.stderr
