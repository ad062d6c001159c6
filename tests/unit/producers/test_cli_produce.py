"""On librdkafka's in-memory cluster; Ctrl-C and a broker that goes away are tested in tests/integration."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from rich.console import Console
from typer.testing import CliRunner, Result

import streams.cli.produce
import streams.cli.sending
from connectors.kafka.connection import Connection
from deploy.local.ports import free_port
from schemas.events import decode_event
from streams.cli.produce import app

EVENT = '{"type":"trip_started","event_id":"e%d","user_id":"u1","occurred_at":"2026-03-01T12:00:00Z","trip_id":"t1"}'
POINTS = "lat,lon,time\n1.0,2.0,2008-10-23T02:53:04Z\n1.1,2.0,2008-10-23T02:53:09Z\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, stdin: bytes | None = None, **environ: str) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin, env=environ)


def summary(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout)


def events_file(*lines: str) -> str:
    Path("events.jsonl").write_text("\n".join(lines) + "\n")
    return "events.jsonl"


def gps_file(content: str = POINTS, name: str = "anna.csv") -> str:
    Path(name).write_text(content)
    return name


def test_events_of_a_file_are_sent_and_counted_once_acknowledged(
    kafka: Connection, consume: Callable[[str, int], list[Message]]
) -> None:
    result = run("events", events_file(EVENT % 1, EVENT % 2), "--bootstrap", kafka.bootstrap, "--json")
    assert result.exit_code == 0, result.output
    assert {name: summary(result)[name] for name in ("read", "sent", "unacknowledged", "bad")} == {
        "read": 2,
        "sent": 2,
        "unacknowledged": 0,
        "bad": 0,
    }
    messages = consume("user-events", 2)
    assert [decode_event(message.value() or b"").event_id for message in messages] == ["e1", "e2"]
    assert dict(messages[0].headers() or [])["ce_source"] == b"/travelos/produce"


def test_sensitive_fields_of_a_file_are_sealed_before_they_are_sent(
    kafka: Connection, consume: Callable[[str, int], list[Message]]
) -> None:
    line = (
        '{"type":"details_given","event_id":"e1","user_id":"u1","occurred_at":"2026-03-01T12:00:00Z","email":"a@b.c"}'
    )
    result = run("events", events_file(line), "--bootstrap", kafka.bootstrap, TRAVELOS_KEYS_STORE="sqlite")
    assert result.exit_code == 0, result.output
    (message,) = consume("user-events", 1)
    assert b"sealed:1:" in (message.value() or b"")
    assert b"a@b.c" not in (message.value() or b"")


def test_when_a_record_cannot_be_sealed_those_before_it_are_sent_and_counted(
    kafka: Connection, consume: Callable[[str, int], list[Message]]
) -> None:
    details = EVENT.replace("trip_started", "details_given").replace('"trip_id":"t1"', '"email":"a@b.c"') % 3
    path = events_file(EVENT % 1, EVENT % 2, details, EVENT % 4)
    result = run(
        *("events", path, "--bootstrap", kafka.bootstrap, "--json"),
        TRAVELOS_KEYS_STORE="postgres",
        TRAVELOS_KEYS_URL="postgresql://nobody@127.0.0.1:1/none",
    )
    assert result.exit_code == 1, result.output
    assert {name: summary(result)[name] for name in ("read", "sent", "unacknowledged")} == {
        "read": 2,
        "sent": 2,
        "unacknowledged": 0,
    }
    assert "127.0.0.1" in summary(result)["error"]
    assert [decode_event(one.value() or b"").event_id for one in consume("user-events", 2)] == ["e1", "e2"]


def test_standard_input_is_read_for_a_dash(kafka: Connection) -> None:
    stdin = b"\xef\xbb\xbf" + (EVENT % 1).encode()
    result = run("events", "-", "--json", stdin=stdin, TRAVELOS_KAFKA_BOOTSTRAP=kafka.bootstrap)
    assert (result.exit_code, summary(result)["sent"]) == (0, 1)


def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_sent(kafka: Connection) -> None:
    path = events_file(EVENT % 1, '{"type":"dance"}', "", "{", EVENT % 5)
    result = run("events", path, "--bootstrap", kafka.bootstrap, "--json")
    assert result.exit_code == 3
    assert summary(result)["sent"] == 2
    assert summary(result)["bad"] == 2
    assert "events.jsonl: line 2: Invalid value 'dance' - at `$.type`" in result.stderr
    assert "events.jsonl: line 4: " in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_points_of_a_gps_file_are_sent_as_fixes_of_the_user(
    kafka: Connection, consume: Callable[[str, int], list[Message]]
) -> None:
    result = run("gps", gps_file(), "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 0, result.output
    assert "2 sent and acknowledged" in result.stdout
    assert run("gps", gps_file(), "--user", "bert", "--bootstrap", kafka.bootstrap).exit_code == 0
    users = [decode_event(message.value() or b"").user_id for message in consume("gps-events", 4)]
    assert sorted(users) == ["anna", "anna", "bert", "bert"]


def test_a_bad_point_is_reported_and_the_rest_is_sent(kafka: Connection) -> None:
    result = run("gps", gps_file(POINTS + "95,2,2008-10-23T02:53:14Z\n"), "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 3
    assert "anna.csv: line 4: Expected `float` <= 90.0 - at `$.lat`" in result.stderr
    assert "2 sent and acknowledged, 1 bad" in result.stdout


def test_a_user_in_the_file_that_is_no_text_is_a_bad_point(kafka: Connection) -> None:
    Path("anna.csv").write_bytes(b"user,lat,lon,time\n\xe9\xff,1,2,2008-10-23T02:53:04Z\n")
    result = run("gps", "anna.csv", "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 3
    assert "line 2: " in result.stderr
    assert "user_id" in result.stderr


def test_an_urgent_file_goes_to_the_urgent_lane(
    kafka: Connection, consume: Callable[[str, int], list[Message]]
) -> None:
    result = run("events", events_file(EVENT % 1), "--priority", "urgent", "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 0
    assert len(consume("urgent-events", 1)) == 1


def test_the_rate_is_kept(kafka: Connection) -> None:
    path = events_file(*(EVENT % number for number in range(21)))
    started = time.monotonic()
    result = run("events", path, "--rate", "50", "--bootstrap", kafka.bootstrap, "--json")
    seconds = time.monotonic() - started
    assert summary(result)["sent"] == 21
    assert seconds >= 20 / 50 - 0.05


@pytest.mark.parametrize("arguments", [("events", "events.jsonl"), ("gps", "anna.csv")])
def test_an_empty_file_is_no_error_but_said(kafka: Connection, arguments: tuple[str, str]) -> None:
    Path(arguments[1]).touch()
    result = run(*arguments, "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 0
    assert f"{arguments[1]} has no records" in result.stderr


@pytest.mark.parametrize("command", ["events", "gps"])
@pytest.mark.parametrize(("path", "why"), [("none.csv", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_a_usage_error(command: str, path: str, why: str) -> None:
    result = run(command, path, "--bootstrap", "127.0.0.1:1")
    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "<kml/>"])
def test_a_file_that_is_no_gps_file_is_a_usage_error_and_says_what_was_expected(
    kafka: Connection, content: str
) -> None:
    result = run("gps", gps_file(content), "--bootstrap", kafka.bootstrap)
    assert result.exit_code == 2
    assert "no column for `lat`" in result.stderr or "is not GPX" in result.stderr


def test_without_a_cluster_the_option_is_named() -> None:
    result = run("gps", gps_file(), TRAVELOS_KAFKA_BOOTSTRAP="")
    assert result.exit_code == 2
    assert "kafka.bootstrap" in result.stderr


def test_a_cluster_that_does_not_answer_is_a_clear_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.cli.produce.BROKER_SECONDS <= 5
    monkeypatch.setattr(streams.cli.produce, "BROKER_SECONDS", 0.5)
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    result = run("gps", gps_file(), "--bootstrap", address)
    assert time.monotonic() - started < 4
    assert result.exit_code == 1
    assert address in result.stderr
    assert "kafka.bootstrap" in result.stderr


def test_a_rate_that_means_nothing_is_a_usage_error() -> None:
    assert run("gps", gps_file(), "--rate", "0").exit_code == 2
    assert run("gps", gps_file(), "--rate", "nan", "--bootstrap", "127.0.0.1:1").exit_code == 2


def test_a_terminal_shows_a_bar_and_the_bad_lines_above_it(kafka: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(streams.cli.sending, "err", terminal)
    path = events_file("broken", *(EVENT % number for number in range(30)))
    assert run("events", path, "--rate", "100", "--bootstrap", kafka.bootstrap).exit_code == 3
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert "events.jsonl: line 1: " in shown
    assert "acknowledged" in shown


def test_help_says_how_times_without_a_zone_are_read_and_what_exit_codes_mean() -> None:
    shown = " ".join(run("gps", "--help", COLUMNS="200").stdout.split())
    assert "Times without a zone are UTC" in shown
    assert "3 some records were bad" in shown
