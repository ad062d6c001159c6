"""Options as a file of variables that a shell reads."""

import stat
import subprocess
from pathlib import Path

from streams.settings.env_file import write_env_file

AWKWARD = {"TRAVELOS_A": 'it\'s $HOME `x` "y" \\ ;&|', "TRAVELOS_B": "two\nlines", "TRAVELOS_C": ""}


def test_a_shell_reads_back_every_value_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "my options.env"
    write_env_file(file, AWKWARD)
    for name, value in AWKWARD.items():
        done = subprocess.run(["sh", "-c", f". '{file}'; printf %s \"${name}\""], capture_output=True, check=True)
        assert done.stdout.decode() == value


def test_only_we_can_read_it_also_when_an_older_one_was_open_to_all(tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("old")
    file.chmod(0o644)
    (tmp_path / "x.env.new").write_text("left by a crash")
    write_env_file(file, {"A": "1"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "export A=1\n"
    assert list(tmp_path.iterdir()) == [file]
