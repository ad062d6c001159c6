"""deploy/Dockerfile by what can be checked without an engine, and the health check of the image."""

import asyncio
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.health import not_live, not_running
from deploy.local.process import ServerProcess
from streams.roles import with_ports
from streams.runtime.metrics import RuntimeMetrics
from streams.runtime.progress import Sample, Stall, Verdict
from streams.runtime.watch import Watch
from streams.runtime.web import WorkerPages, listen
from streams.settings import load

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "deploy" / "Dockerfile").read_text()
BUILD, FINAL = (f"FROM {stage}" for stage in re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:])


def instructions(stage: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", stage, flags=re.MULTILINE))
    return [line for line in joined.splitlines() if line]


def test_both_stages_start_from_the_same_pinned_slim_image() -> None:
    images = {instructions(stage)[0].split()[1] for stage in (BUILD, FINAL)}
    (image,) = images
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", image)


def test_dependencies_are_those_of_the_lock_file_with_their_hashes() -> None:
    assert "pip install --require-hashes --requirement requirements.lock" in BUILD
    assert BUILD.index("requirements.lock") < BUILD.index("COPY schemas"), "a change of sources installs all again"


def test_the_final_stage_has_no_build_tools() -> None:
    for tool in ("apt-get", "gcc", "pip ", "hatchling"):
        assert tool not in FINAL
    assert "pip uninstall --yes pip" in BUILD


def test_it_runs_as_a_user_without_rights_and_says_so_by_number() -> None:
    users = [line for line in instructions(FINAL) if line.startswith("USER")]
    assert users == ["USER 10001:10001"]


def test_signals_reach_the_program() -> None:
    lines = instructions(FINAL)
    assert 'ENTRYPOINT ["travelos"]' in lines
    assert 'CMD ["run"]' in lines


def test_labels_and_health_check_are_there() -> None:
    (labels,) = (line for line in instructions(FINAL) if line.startswith("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert any(line.startswith("HEALTHCHECK") for line in instructions(FINAL))


def test_options_that_the_image_sets_are_accepted() -> None:
    (line,) = (line for line in instructions(FINAL) if line.startswith("ENV"))
    options = load(
        environ=dict(pair.split("=", 1) for pair in line.split()[1:] if pair.startswith("TRAVELOS_"))
    ).options
    assert str(options.data_dir) == "/var/lib/travelos"
    assert f"{options.data_dir}/run" in TEXT


def test_all_that_is_copied_is_sent_to_the_builder_and_nothing_secret_is() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    sent = {line[1:] for line in ignore if line.startswith("!")}
    copied = {source for line in instructions(BUILD) if line.startswith("COPY") for source in line.split()[1:-1]}
    assert copied == sent
    assert not fnmatch.filter(sent, ".env*")


@pytest.fixture
def roles(tmp_path: Path) -> list[ServerProcess]:
    return [ServerProcess(name, tmp_path) for name in ("ingest", "deliver")]


def test_healthy_means_that_every_role_that_was_started_runs(roles: list[ServerProcess], tmp_path: Path) -> None:
    assert not_running(tmp_path) == ["no role was started"]
    try:
        for role in roles:
            role.spawn(["sleep", "60"])
        assert not_running(tmp_path) == []
        record = roles[0].pid_file.read_text()
        roles[0].stop()
        roles[0].pid_file.write_text(record)  # as after a crash
        assert not_running(tmp_path) == ["ingest"]
    finally:
        for role in roles:
            role.stop()


def test_the_health_check_ends_with_1_and_names_what_does_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.health", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == "no role was started\n"


def test_the_health_check_asks_the_roles_where_they_answer() -> None:
    (check,) = (line for line in instructions(FINAL) if line.startswith("HEALTHCHECK"))
    (line,) = (line for line in instructions(FINAL) if line.startswith("ENV"))
    options = load(environ=dict(pair.split("=") for pair in line.split() if "WORKER_PORT" in pair)).options
    commands = with_ports(options.worker.port).values()
    served = sorted(arguments[-1] for arguments in commands if "--port" in arguments)
    assert re.findall(r"\d+", check.partition("/run")[2]) == served == ["9400", "9401", "9402"]


async def test_a_worker_that_is_stuck_or_does_not_answer_is_not_healthy() -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    watch = Watch(lambda: Sample("running"), lambda _: None)
    pages = WorkerPages(listener, RuntimeMetrics().registry, watch)
    await pages.start()
    assert await asyncio.to_thread(list, not_live([port])) == []
    watch.verdict = Verdict((Stall("agent work hangs", 61),))
    (problem,) = await asyncio.to_thread(list, not_live([port]))
    assert "agent work hangs" in problem
    await pages.stop()
    (problem,) = await asyncio.to_thread(list, not_live([port]))
    assert problem.startswith(f"port {port}: ")
