"""Finding Java and other programs."""

from pathlib import Path

import pytest

from deploy.local import programs
from deploy.local.debian import library_folders, missing_packages
from deploy.local.process import ServerFailed
from deploy.local.programs import Java, choose, feature_release, find_java, require


def installation(folder: Path, version: str, *, compiler: bool = True) -> Path:
    (folder / "bin").mkdir(parents=True)
    for program in ("java", "javac") if compiler else ("java",):
        (folder / "bin" / program).write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        (folder / "bin" / program).chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.fixture
def jvms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH holds no Java, and its folder of Java installations."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "JVM_FOLDER", tmp_path / "jvm")
    return tmp_path / "jvm"


@pytest.mark.parametrize(("version", "release"), [("17.0.15", 17), ("1.8.0_402", 8), ("25-ea", 25), ("none", None)])
def test_a_java_version_is_known_by_its_feature_release(version: str, release: int | None) -> None:
    assert feature_release(version) == release


def test_java_home_comes_before_the_path_and_the_path_before_the_usual_folder(
    jvms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation(jvms / "a", "21.0.1")
    assert find_java("X", at_least=17).release == 21
    on_path = installation(tmp_path / "on-path", "23.0.1")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert find_java("X", at_least=17).release == 23
    monkeypatch.setenv("JAVA_HOME", str(installation(tmp_path / "home", "25.0.1")))
    assert find_java("X", at_least=17).release == 25


def test_one_that_is_too_old_too_new_or_without_compiler_is_passed_over(jvms: Path) -> None:
    installation(jvms / "a", "11.0.2")
    installation(jvms / "b", "25.0.2")
    installation(jvms / "c", "21.0.2", compiler=False)
    installation(jvms / "d", "22.0.2")
    assert find_java("X", at_least=17, below=25).release == 21
    assert find_java("X", at_least=17, below=25, compiler=True).release == 22


def test_an_installation_without_a_release_file_is_asked(jvms: Path) -> None:
    (installation(jvms / "a", "17.0.9") / "release").unlink()
    assert find_java("X", at_least=17).release == 17


def test_without_a_fitting_java_the_error_says_what_is_needed_what_is_there_and_what_to_do(jvms: Path) -> None:
    home = installation(jvms / "a", "17.0.9")
    with pytest.raises(ServerFailed) as failure:
        find_java("Elasticsearch", at_least=21, compiler=True)
    message = str(failure.value)
    assert "Elasticsearch needs JDK 21 or newer" in message
    assert f"17 in {home}" in message
    assert "JAVA_HOME" in message


def test_without_any_java_the_error_says_so(jvms: Path) -> None:
    with pytest.raises(ServerFailed, match=r"needs Java 17 to 24 \(found: none\)"):
        find_java("Neo4j", at_least=17, below=25)


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose([], at_least=17) is None
    assert choose([Java(Path("/jvm"), 11)], at_least=17) is None


def test_all_missing_programs_are_named_at_once(jvms: Path) -> None:
    with pytest.raises(ServerFailed, match="InfluxDB needs `go` and `cargo`"):
        require("InfluxDB", "go", "cargo")


def test_packages_to_unpack_are_those_that_apt_would_install() -> None:
    simulated = (
        "Reading package lists...\n"
        "Inst libjemalloc2 (5.3.0-1 Debian:12 [amd64])\n"
        "Inst redis-server (5:7.0.15-1 Debian-Security:12 [amd64])\n"
        "Conf libjemalloc2 (5.3.0-1 Debian:12 [amd64])\n"
    )
    assert missing_packages(simulated) == ["libjemalloc2", "redis-server"]


def test_libraries_are_found_wherever_a_package_put_them(tmp_path: Path) -> None:
    for folder in ("usr/lib/x86_64-linux-gnu", "lib"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "libx.so.2").touch()
    assert library_folders(tmp_path) == [tmp_path / "lib", tmp_path / "usr/lib/x86_64-linux-gnu"]
