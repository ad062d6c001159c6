"""State folders of workers, and data folders of pipelines, belong to one process each."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.data_folder import DataFolder, FolderRefused
from streams.runtime.state_folder import StateFolder


def test_a_second_worker_gets_another_folder_and_a_restarted_one_its_own_again(tmp_path: Path) -> None:
    one, two = StateFolder(tmp_path), StateFolder(tmp_path)
    assert [one.path.name, two.path.name] == ["1", "2"]
    (one.path / "state").write_text("kept")
    one.close()
    again = StateFolder(tmp_path)
    assert (again.path / "state").read_text() == "kept"
    two.close()
    again.close()


def test_the_folder_of_a_killed_worker_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from streams.runtime.state_folder import StateFolder; "
        "folder = StateFolder(Path(sys.argv[1])); print(folder.path.name, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "1"
    child.kill()
    child.communicate()
    mine = StateFolder(tmp_path)
    assert mine.path.name == "1"
    mine.close()


def test_a_data_folder_has_one_pipeline_and_is_free_after_it(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.claim()
    with pytest.raises(FolderRefused, match="set another data_dir"):
        second.claim()
    first.release()
    first.release()
    second.claim()
    second.release()
