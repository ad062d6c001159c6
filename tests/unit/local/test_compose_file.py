"""docker-compose.kafka.yml by the rules of the Compose specification that can be checked without an engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.elasticsearch.server import VERSION as ELASTICSEARCH
from deploy.local.influxdb.build import VERSION as INFLUXDB
from deploy.local.kafka.server import VERSION as KAFKA
from deploy.local.neo4j.server import VERSION as NEO4J
from deploy.local.s3.server import VERSION as S3
from deploy.local.servers import KINDS
from streams.demo.database import DDL
from streams.platform import COMPOSE_BOOTSTRAP, RELATIONAL_DATABASE, SOURCE_DATABASE
from streams.settings import load

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.kafka.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
EACH = pytest.mark.parametrize("name", SERVICES)
INTERPOLATION = re.compile(r"\$\{(\w+):-([^}]+)\}")


def filled_in(value: Any) -> str:
    """What a value becomes without a `.env`."""
    return INTERPOLATION.sub(lambda match: match[2], str(value)).replace("$$", "$")


def test_there_is_a_service_for_every_local_server_and_the_app() -> None:
    assert SERVICES.keys() == {*KINDS, "app"}


@EACH
def test_a_service_has_an_image_with_a_fixed_version_and_no_registry(name: str) -> None:
    image: str = SERVICES[name]["image"]
    repository, _, tag = image.partition(":")
    assert re.search(r"\d+\.\d+", tag), f"{image} is not pinned"
    assert "latest" not in tag
    assert "." not in repository.split("/")[0], f"{image} names a registry"


@EACH
def test_a_service_has_a_health_check_that_is_a_command(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert len(check["test"]) > 1
    assert all(isinstance(word, str) for word in check["test"])
    for duration in ("interval", "timeout", "start_period"):
        assert re.fullmatch(r"\d+s", check[duration])
    assert check["retries"] > 0


@EACH
def test_ports_are_published_on_the_loopback_interface_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", filled_in(port))


def test_no_two_services_publish_the_same_port() -> None:
    published = [filled_in(port).split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(set(published)) == len(published)


@EACH
def test_a_service_has_limits_of_memory_and_processors(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert float(limits["cpus"]) > 0


def test_all_together_fit_a_laptop() -> None:
    unit = {"M": 1, "G": 1024}
    limits = [service["deploy"]["resources"]["limits"]["memory"] for service in SERVICES.values()]
    assert sum(int(limit[:-1]) * unit[limit[-1]] for limit in limits) <= 8 * 1024


@EACH
def test_a_service_keeps_its_data_in_named_volumes_that_are_declared(name: str) -> None:
    sources = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
    assert any(not source.startswith(".") for source in sources)
    for source in sources:
        assert (ROOT / source).exists() if source.startswith(".") else source in FILE["volumes"]


def test_no_volume_is_declared_in_vain_or_shared() -> None:
    used = [volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]]
    named = [source for source in used if not source.startswith(".")]
    assert sorted(named) == sorted(FILE["volumes"])


def test_the_app_starts_once_every_server_is_healthy() -> None:
    needed = SERVICES["app"]["depends_on"]
    assert needed.keys() == SERVICES.keys() - {"app"}
    assert all(condition == {"condition": "service_healthy"} for condition in needed.values())


def test_the_app_is_built_from_our_dockerfile() -> None:
    build = SERVICES["app"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_the_options_of_the_app_are_accepted_and_reach_the_other_services() -> None:
    environment = {name: filled_in(value) for name, value in SERVICES["app"]["environment"].items()}
    options = load(environ=environment).options
    host, port = options.kafka.bootstrap.split(":")
    assert f"INSIDE://{host}:{port}" in SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    password = filled_in(SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"])
    for dsn, database in (
        (options.source.dsn.get_secret_value(), SOURCE_DATABASE),
        (options.stores.relational.url.get_secret_value(), RELATIONAL_DATABASE),
    ):
        assert dsn == f"postgresql://postgres:{password}@postgres:5432/{database}"


def test_both_databases_are_made() -> None:
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == SOURCE_DATABASE
    script = (ROOT / "deploy" / "compose" / "databases.sql").read_text()
    assert f"CREATE DATABASE {RELATIONAL_DATABASE};" in script


def test_kafka_advertises_to_this_machine_the_port_that_is_published() -> None:
    assert f"OUTSIDE://{COMPOSE_BOOTSTRAP}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"{COMPOSE_BOOTSTRAP}:9092" in SERVICES["kafka"]["ports"]


def test_every_variable_is_in_the_example_with_the_value_that_holds_without_it() -> None:
    example = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if line and not line.startswith("#"))
    assert dict(INTERPOLATION.findall(TEXT)) == example
    assert TEXT.count("${") == len(INTERPOLATION.findall(TEXT)), "a variable without a default"


def test_the_options_that_the_example_suggests_are_options() -> None:
    suggested = dict(line[2:].split("=", 1) for line in EXAMPLE.splitlines() if line.startswith("# TRAVELOS_"))
    assert load(environ=suggested).options.log.level == "debug"


def test_the_images_have_the_versions_of_the_local_servers() -> None:
    images = {name: service["image"].partition(":")[2] for name, service in SERVICES.items()}
    assert images["kafka"] == KAFKA
    assert images["neo4j"] == f"{NEO4J}-community"
    assert images["elasticsearch"] == ELASTICSEARCH
    assert images["influxdb"] == INFLUXDB
    assert images["s3"] == f"v{S3}"
    for name, version in (("kafka", KAFKA), ("neo4j", NEO4J), ("elasticsearch", ELASTICSEARCH)):
        pom = (ROOT / "deploy" / "local" / name / "pom.xml").read_text()
        assert f"<version>{version}</version>" in pom
        assert not re.search(r"<version>[\[(]", pom), "a range in a pom"


def test_postgres_begins_with_the_tables_whose_changes_are_read() -> None:
    script = (ROOT / "deploy" / "compose" / "databases.sql").read_text()
    assert script.partition("\\connect travel\n")[2] == DDL.lstrip("\n")
