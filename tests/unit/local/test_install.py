"""Installing into the cache folder: once, whole or not at all."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.install import installed, recipe_digest, run
from deploy.local.process import ServerFailed, cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAVELOS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_where_the_variable_says(cache: Path) -> None:
    assert cache_folder() == cache


def test_what_is_there_is_not_built_again(cache: Path) -> None:
    builds: list[Path] = []

    def build(fresh: Path) -> None:
        builds.append(fresh)
        (fresh / "program").touch()

    assert installed("thing-1", build) == installed("thing-1", build) == cache / "thing-1"
    assert len(builds) == 1
    assert (cache / "thing-1" / "program").exists()


def test_a_failed_build_leaves_nothing_and_is_tried_again(cache: Path) -> None:
    def fail(fresh: Path) -> None:
        (fresh / "half").touch()
        raise ServerFailed("no network")

    with pytest.raises(ServerFailed, match="no network"):
        installed("thing-1", fail)
    assert [path.name for path in cache.iterdir()] == ["thing-1.lock"]
    assert installed("thing-1", lambda fresh: (fresh / "whole").touch()).joinpath("whole").exists()


def test_what_a_killed_build_left_is_never_taken_for_whole_and_is_removed(cache: Path) -> None:
    half = cache / "thing-1.partial-abc"
    half.mkdir(parents=True)
    installed("thing-1", lambda fresh: (fresh / "whole").touch())
    assert sorted(path.name for path in cache.iterdir()) == ["thing-1", "thing-1.lock"]


def test_of_several_at_once_one_builds_and_all_get_its_result() -> None:
    together, builds = threading.Barrier(4), 0

    def build(fresh: Path) -> None:
        nonlocal builds
        builds += 1
        (fresh / "program").touch()

    def one(_: int) -> Path:
        together.wait()
        return installed("thing-1", build)

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(one, range(4)))) == 1
    assert builds == 1


def test_another_process_that_builds_is_waited_for(cache: Path) -> None:
    script = (
        "import sys; from deploy.local.install import installed\n"
        "def build(fresh):\n"
        "    print('building', file=sys.stderr, flush=True); sys.stdin.read(); (fresh / 'theirs').touch()\n"
        "installed('thing-1', build)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as other:
        assert other.stderr is not None
        assert other.stdin is not None
        assert other.stderr.readline() == "building\n"
        with ThreadPoolExecutor(1) as thread:
            ours = thread.submit(installed, "thing-1", lambda fresh: (fresh / "ours").touch())
            other.stdin.close()
            assert [path.name for path in ours.result().iterdir()] == ["theirs"]


def test_a_changed_recipe_has_another_digest(tmp_path: Path) -> None:
    pom, source = tmp_path / "pom.xml", tmp_path / "Launcher.java"
    pom.write_text("1")
    source.write_text("2")
    before = recipe_digest(pom, source)
    source.write_text("3")
    assert recipe_digest(pom, source) != before


def test_a_failed_step_shows_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"(?s)`sh -c .*exit code 4.*out of disk"):
        run(["sh", "-c", "echo out of disk >&2; exit 4"], cwd=tmp_path)


def test_a_step_whose_program_is_missing_names_it(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="`no-such-program` cannot be run"):
        run(["no-such-program"], cwd=tmp_path)


def test_a_step_returns_what_it_printed(tmp_path: Path) -> None:
    assert run(["pwd"], cwd=tmp_path) == f"{tmp_path}\n"
