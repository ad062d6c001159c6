import json
from pathlib import Path

import pytest
import typer
from msgspec import Struct
from typer.testing import CliRunner, Result

from streams.cli import common
from streams.cli.config import command
from streams.settings.document import configuration_page

KIND = f"{__name__}:StandInSink"

app = typer.Typer()
app.command()(command)


class StandInOptions(Struct, frozen=True, kw_only=True):
    """Of a kind of store that is somebody else's.

    Attributes:
        url: where it is
        port: as above
        password: of the login
    """

    url: str
    port: int = 80
    password: str = ""


class StandInSink:
    """As much of a sink as is looked at here."""

    def __init__(self, options: StandInOptions) -> None: ...

    open = write = held = close = limits = None


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environ)


def rows(**environ: str) -> dict[str, dict[str, object]]:
    result = run("--json", **environ)
    assert result.exit_code == 0
    return {row["option"]: row for row in json.loads(result.stdout)}


def test_every_value_is_printed_with_its_origin_and_meaning() -> None:
    Path("travelos.toml").write_text("[kafka]\npartitions = 2")
    found = rows(TRAVELOS_KAFKA_REPLICATION="3")
    assert found["kafka.partitions"] == {
        "option": "kafka.partitions",
        "value": 2,
        "origin": "travelos.toml",
        "description": "of every topic that is created",
    }
    assert (found["kafka.replication"]["value"], found["kafka.replication"]["origin"]) == (
        3,
        "TRAVELOS_KAFKA_REPLICATION",
    )
    assert found["data_dir"]["value"] == "travelos-data"


def test_secrets_are_masked_when_set_and_empty_when_not() -> None:
    found = rows(TRAVELOS_KAFKA_PASSWORD="hidden", TRAVELOS_REGISTRY_URL="https://app:hidden@registry:8081")
    assert found["kafka.password"]["value"] == "********"
    assert found["source.dsn"]["value"] == ""
    assert found["registry.url"]["value"] == "https://********@registry:8081"
    for arguments in ([], ["--json"]):
        assert (
            "hidden"
            not in run(*arguments, TRAVELOS_KAFKA_PASSWORD="hidden", TRAVELOS_STORES_RELATIONAL_URL="hidden").output
        )


def test_the_options_of_a_stores_kind_are_printed_like_all_others_with_secrets_masked() -> None:
    Path("travelos.toml").write_text(f'[stores.cache]\nkind = "{KIND}"\nurl = "x://app:hidden@cache"')
    found = rows(TRAVELOS_STORES_CACHE_PASSWORD="hidden")
    assert found["stores.cache.url"] == {
        "option": "stores.cache.url",
        "value": "x://********@cache",
        "origin": "travelos.toml",
        "description": "where it is",
    }
    assert found["stores.cache.password"]["value"] == "********"
    assert (found["stores.cache.port"]["value"], found["stores.cache.port"]["origin"]) == (80, "default")
    assert "hidden" not in run(TRAVELOS_STORES_CACHE_PASSWORD="hidden").output


def test_the_table_shows_names_in_full() -> None:
    output = run(TRAVELOS_KAFKA_BOOTSTRAP="broker:9092").stdout
    assert "kafka.security_protocol" in output
    assert "broker:9092" in output
    assert "TRAVELOS_KAFKA_BOOTSTRAP" in output


def test_the_page_is_printed_as_it_is_committed() -> None:
    result = run("--markdown")
    assert (result.exit_code, result.stdout) == (0, configuration_page())


def test_an_option_that_cannot_be_used_ends_with_2_and_a_line_that_names_it() -> None:
    result = run(TRAVELOS_KAFKA_PARTITIONS="0")
    assert result.exit_code == 2
    assert "`kafka.partitions`" in result.stderr
    assert result.stdout == ""
