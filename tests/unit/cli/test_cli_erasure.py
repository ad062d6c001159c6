"""`travelos erase` and `travelos erasure`: what they say, and when they refuse."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import json, structs
from typer.testing import CliRunner, Result

from connectors.kafka.reading import read_topics
from deploy.local.kafka import MemoryKafka
from schemas.erasures import Certificate, Erasure, StoreAnswer, encode_erasure_record
from schemas.events import ErasureRequested, decode_event
from streams.cli import common, erase, erasure
from streams.erasure.certificate import certify, statement_of
from streams.erasure.parts import certificates_of, key_of
from streams.settings import load

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ON = {"TRAVELOS_ERASURE_ENABLED": "true"}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 250)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture
def brokers() -> Iterator[str]:
    """A cluster on which one erasure is over and another one waits for a store."""
    kafka = MemoryKafka()
    kafka.start()
    catalogue = load(environ={}).options.catalogue()
    for topic in (catalogue.erasure_log, catalogue.erasures, catalogue.user_events):
        AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(topic.name)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    over = structs.replace(_erasure("ann"), step="over")
    waits = structs.replace(_erasure("bert"), step="ask", attempts=3, reason="still held by graph (2)")
    for one in (_erasure("ann"), over, waits):
        producer.produce(catalogue.erasure_log.name, encode_erasure_record(one), one.user_id, partition=0)
    producer.produce(catalogue.erasure_log.name, b"{", "carl", partition=0)
    assert producer.flush(10) == 0
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()


def _erasure(user: str) -> Erasure:
    return Erasure(
        id=f"forget-{user}",
        user_id=user,
        version=1,
        requested_at=NOON,
        began_at=NOON + timedelta(seconds=1),
        stores={"graph": StoreAnswer(deleted=4)},
        certified_at=NOON,
        key="destroyed",
    )


def _command_line() -> typer.Typer:
    app = typer.Typer()
    app.command("erase")(erase.command)
    app.add_typer(erasure.app, name="erasure")
    return app


def run(brokers: str, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(_command_line(), list(arguments), env={"TRAVELOS_KAFKA_BOOTSTRAP": brokers, **env})


def test_only_what_is_not_over_is_listed_with_what_it_waits_for(brokers: str) -> None:
    result = run(brokers, "erasure", "list", "--json")
    assert result.exit_code == 0
    (row,) = json.decode(result.stdout)
    assert (row["person"], row["step"], row["waits_for"]) == ("bert", "ask", "still held by graph (2)")
    everything = json.decode(run(brokers, "erasure", "list", "--over", "--json").stdout)
    assert {row["person"]: row["step"] for row in everything} == {"ann": "over", "bert": "ask"}


def test_nothing_is_asked_where_nobody_would_carry_it_out(brokers: str) -> None:
    for arguments in (("erase", "ann"), ("erasure", "run")):
        result = run(brokers, *arguments)
        assert result.exit_code == common.Exit.USAGE
        assert "erasure.enabled" in result.stderr


def test_a_request_is_published_as_an_event_of_the_person(brokers: str) -> None:
    result = run(brokers, "erase", "dora", "--wait", "0", **ON)
    assert result.exit_code == 0, result.stderr
    options = load(environ={"TRAVELOS_KAFKA_BOOTSTRAP": brokers}).options
    (record,) = read_topics(options.kafka.connection(), [options.catalogue().user_events.name])
    event = decode_event(record.value or b"")
    assert isinstance(event, ErasureRequested)
    assert (record.key, event.user_id) == (b"dora", "dora")
    assert event.event_id in result.stdout


def test_who_waits_in_vain_is_told_where_it_hangs(brokers: str) -> None:
    result = run(brokers, "erase", "dora", "--wait", "0.6", **ON)
    assert result.exit_code == common.Exit.FAILED
    assert "do the roles ingest and erasure run?" in result.stderr


def test_of_a_store_it_is_told_what_it_was_asked_for_and_what_its_files_keep(
    monkeypatch: pytest.MonkeyPatch, brokers: str
) -> None:
    searched, asked = StoreAnswer(deleted=4, asked=4, searched=True, found=0), StoreAnswer(deleted=2, asked=3, found=0)
    asked = structs.replace(asked, keeps="older versions, for a day")
    over = structs.replace(_erasure("ann"), stores={"graph": searched, "objects": asked})

    def certificate(*_: object) -> Certificate:
        return certify(statement_of(over, "refuse", []), Ed25519PrivateKey.from_private_bytes(b"k" * 32))

    monkeypatch.setattr(erase, "_certificate", certificate)
    lines = [line.split(maxsplit=1) for line in run(brokers, "erase", "ann", **ON).stdout.splitlines()]
    assert lines[:3] == [
        ["graph", "4 deleted, holds nothing"],
        ["objects", "2 deleted, holds nothing of the 3 it was asked for, not searched"],
        ["its", "files keep older versions, for a day"],
    ]


def _unaltered(one: Certificate) -> Certificate:
    return one


def _file(alter: Callable[[Certificate], Certificate] = _unaltered) -> Path:
    options = load(environ={}).options
    signed = certify(statement_of(_erasure("ann"), "refuse", []), key_of(options, may_make=True))
    path = certificates_of(options) / "one.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_erasure_record(alter(signed)))
    return path


def test_a_certificate_of_this_installation_is_genuine() -> None:
    result = run("", "erasure", "check", str(_file()))
    assert result.exit_code == 0
    assert "genuine: ann was erased" in result.stdout


def test_a_certificate_that_was_altered_is_not() -> None:
    def alter(one: Certificate) -> Certificate:
        return structs.replace(one, statement=structs.replace(one.statement, user_id="bert"))

    result = run("", "erasure", "check", str(_file(alter)))
    assert result.exit_code == common.Exit.FAILED


def test_a_certificate_of_somebody_else_is_genuine_only_for_anybody(tmp_path: Path) -> None:
    path = _file()
    (tmp_path / "travelos-data" / "erasure" / "signing-key.pem").unlink()
    key_of(load(environ={}).options, may_make=True)
    assert run("", "erasure", "check", str(path)).exit_code == common.Exit.FAILED
    assert run("", "erasure", "check", str(path), "--anybody").exit_code == 0


def test_what_is_no_certificate_says_so(tmp_path: Path) -> None:
    _file()
    (tmp_path / "text").write_text("no certificate")
    for name in ("text", "missing"):
        assert run("", "erasure", "check", str(tmp_path / name)).exit_code == common.Exit.FAILED
