"""Logs: one formatter for ours and the libraries', JSON that parses, and no values of variables."""

import json
import logging
from typing import Any, Literal

import pytest
import structlog

from streams.log import configure_logging

SECRET = "hunter" * 2  # in no line of the source, which a trace does show


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output belongs to what commands print"
    return [json.loads(line) for line in captured.err.splitlines()]


def fail_with(password: str) -> None:
    connection = f"postgres://app:{password}@db"
    raise RuntimeError(f"connection refused ({len(connection)} characters)")


def test_a_line_of_json_has_its_event_its_fields_and_where_it_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger("streams.x").info("slot_lost", slot="travelos", at=3, path=b"\xff", odd={1, 2}.__class__)
    logging.getLogger("aiokafka.consumer").warning("rebalance %s", "over")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["slot"], ours["at"]) == ("slot_lost", "travelos", 3)
    assert (ours["level"], ours["logger"]) == ("info", "streams.x")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("rebalance over", "warning", "aiokafka.consumer")


@pytest.mark.parametrize("output", ["json", "console"])
@pytest.mark.parametrize("library", [True, False])
def test_a_stack_trace_names_the_place_but_shows_no_values_of_variables(
    capsys: pytest.CaptureFixture[str], output: Literal["json", "console"], library: bool
) -> None:
    configure_logging("info", output)
    try:
        fail_with(SECRET)
    except RuntimeError:
        if library:
            logging.getLogger("some.library").exception("it_failed")
        else:
            structlog.get_logger("streams.x").exception("it_failed")
    text = capsys.readouterr().err
    assert "it_failed" in text
    assert "in fail_with" in text
    assert "connection refused" in text
    assert SECRET not in text
    if output == "json":
        assert "RuntimeError" in json.loads(text)["exception"]


def test_a_value_with_lines_of_its_own_stays_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger().warning("bad_input", value='two\nlines {"event": "forged"}')
    (line,) = lines(capsys)
    assert line["event"] == "bad_input"


def test_what_is_less_severe_than_the_level_is_not_written_and_libraries_talk_from_warning_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("debug", "json")
    logging.getLogger("aiokafka").info("fetching")
    structlog.get_logger("a").debug("seen")
    configure_logging("error", "json")
    structlog.get_logger("b").warning("not_seen")
    logging.getLogger("faust").warning("not_seen")
    logging.getLogger("faust").error("seen_as_well")
    assert [line["event"] for line in lines(capsys)] == ["seen", "seen_as_well"]


def test_configuring_twice_writes_every_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    configure_logging("info", "json")
    structlog.get_logger("c").info("once")
    assert len(lines(capsys)) == 1


def test_a_logger_that_was_used_before_follows_a_later_configuration() -> None:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("early")
    configure_logging("info", "json")
    logger.info("first")
    configure_logging("info", "console")
    with structlog.testing.capture_logs() as captured:
        logger.info("second")
    assert [entry["event"] for entry in captured] == ["second"]
