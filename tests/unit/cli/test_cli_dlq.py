"""Dead letters at the command line, on librdkafka's in-memory cluster; a real broker is in tests/integration."""

import json
from typing import Any

import pytest

from deploy.local.ports import free_port
from streams.cli import common
from tests.unit.cli.letters_on_a_cluster import (
    GRAPH,
    HEADERS,
    UNPRINTABLE,
    USER_EVENTS,
    BriskConsumer,
    Cluster,
    letter,
    run,
    without_value,
)

pytestmark = pytest.mark.usefixtures("surroundings")


SECRET = "hunter" * 2
READING = [("list",), ("show", "0:0"), ("replay", "--all"), ("discard", "--all"), ("edit", "0:0"), ("audit",)]


def test_list_counts_the_letters_of_each_kind_and_says_where_the_last_one_is(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter("cut off", topic=GRAPH, store="graph"), letter("no `lon`", offset=2))
    ingest, graph = cluster.json("list")
    assert ingest == {
        "count": 2,
        "last": "0:2",
        "component": "ingest",
        "stage": "decode",
        "store": None,
        "error": "ValueError",
        "topic": USER_EVENTS,
        "message": "no `lon`",
    }
    assert (graph["count"], graph["last"], graph["store"], graph["stage"]) == (1, "0:1", "graph", "write")
    table = cluster.run("list").stdout
    assert "deliver.graph" in table
    assert "no `lon`" in table


def test_list_each_has_a_line_for_every_letter_the_oldest_first(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter(offset=2))
    rows = cluster.json("list", "--each")
    assert [row["position"] for row in rows] == ["0:0", "0:1"]
    assert all(row["at"].startswith("20") for row in rows)


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--component", "ingest"], ["0:0"]),
        (["--stage", "write"], ["0:1"]),
        (["--store", "graph"], ["0:1"]),
        (["--error", "ValueError"], ["0:0", "0:1"]),
        (["--topic", USER_EVENTS], ["0:0"]),
        (["--message", "LAT"], ["0:0"]),
        (["--stage", "write", "--message", "lat"], []),
    ],
)
def test_every_filter_keeps_the_letters_that_it_names(
    cluster: Cluster, options: list[str], positions: list[str]
) -> None:
    cluster.holds(letter(), letter("cut off", topic=GRAPH, store="graph"))
    assert [row["position"] for row in cluster.json("list", "--each", *options)] == positions


def test_without_a_letter_or_even_their_topic_the_list_is_empty(cluster: Cluster) -> None:
    assert cluster.json("list") == []
    result = cluster.run("list")
    assert (result.exit_code, result.stderr) == (0, "")


def test_show_prints_the_record_as_it_was_and_what_went_wrong(cluster: Cluster) -> None:
    cluster.holds(letter(), letter("cut off", topic=GRAPH, store="graph", key=None, value=UNPRINTABLE, offset=9))
    shown = cluster.json("show", "0:0")
    assert shown.pop("first_failed_at").startswith("20")
    assert shown == {
        "position": "0:0",
        "origin": f"{USER_EVENTS}-3@7",
        "state": "open",
        "component": "ingest",
        "stage": "decode",
        "store": None,
        "error": "ValueError",
        "topic": USER_EVENTS,
        "message": "no `lat`",
        "attempts": 2,
        "key": "u1",
        "value": '{"a":1}',
        "headers": [
            {"name": "ce_id", "value": "1"},
            {"name": "tag", "value": "one"},
            {"name": "tag", "value": None},
            {"name": "tag", "value": "base64:/wA="},
        ],
    }
    other = cluster.json("show", "0:1")
    assert (other["origin"], other["key"], other["value"]) == (f"{GRAPH}-3@9", None, "base64:/wA=")


def test_text_is_shown_whole_on_one_line_with_nothing_read_into_it(cluster: Cluster) -> None:
    text = "[bold]" + "x" * 300 + ":smile: [/]\x1b[2J"
    cluster.holds(letter("a\x1b[2Jb", value=text.encode()))
    output = cluster.run("show", "0:0").stdout
    assert "value: " + text.replace("\x1b", "\\x1b") + "\n" in output
    assert "message: a\\x1b[2Jb\n" in output
    assert "\x1b" not in cluster.run("list").stdout


def test_positions_are_printed_as_they_are() -> None:
    with common.err.capture() as printed:
        common.err.print("1:100: its value was left out")  # ":100:" is a name of an emoji
    assert printed.get() == "1:100: its value was left out\n"


def test_a_letter_that_is_not_there_ends_with_1_and_says_how_to_find_one(cluster: Cluster) -> None:
    cluster.holds(letter())
    for position in ("0:1", "1:0", "nonsense"):
        result = cluster.run("show", position)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"no dead letter at {position}; `travelos dlq list --each`" in result.stderr


def test_replay_sends_exactly_the_record_that_failed_and_keeps_the_letter(cluster: Cluster) -> None:
    cluster.holds(letter(), letter(value=UNPRINTABLE, key=None, offset=8), letter(topic=GRAPH, store="graph"))
    summary = cluster.json("replay", "--all", "--component", "ingest")
    assert summary == {
        "sent": 2,
        "would_send": 2,
        "without_value": 0,
        "dealt_with_before": 0,
        "would_fail_again": 2,
        "taken_back": 0,
    }
    sent = sorted(cluster.records(USER_EVENTS), key=lambda one: one.key or b"")
    assert [(one.key, one.value) for one in sent] == [(None, UNPRINTABLE), (b"u1", b'{"a":1}')]
    assert [tuple(one.headers) for one in sent] == [HEADERS, HEADERS]
    assert cluster.records(GRAPH) == []
    assert len(cluster.json("list", "--each")) == 3


def test_a_dry_run_sends_nothing_and_says_what_it_would_send(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter(offset=2))
    said = cluster.json("replay", "0:1", "--dry-run")
    assert (said["sent"], said["would_send"], said["without_value"]) == (0, 1, 0)
    assert cluster.run("replay", "--all", "--dry-run").stdout == "would send 2 of 2 records\n"
    assert cluster.records(USER_EVENTS) == []


def test_when_one_of_the_named_letters_is_missing_nothing_is_sent(cluster: Cluster) -> None:
    cluster.holds(letter())
    result = cluster.run("replay", "0:0", "0:5", "3:1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no dead letter that matches at 0:5, 3:1; nothing was sent" in result.stderr
    assert cluster.records(USER_EVENTS) == []


def test_a_letter_without_its_value_cannot_be_sent_which_ends_with_3_and_says_where_the_value_is(
    cluster: Cluster,
) -> None:
    cluster.holds(letter(offset=1), without_value(letter(offset=2)))
    result = cluster.run("replay", "--all", "--dry-run", "--json")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert (said["sent"], said["would_send"], said["without_value"]) == (0, 1, 1)
    assert result.stderr.startswith(f"0:1: its value was left out; it lies at {USER_EVENTS}-3@2\n")


@pytest.mark.parametrize("options", [("--since", "yesterday"), ("--until", "1.5"), ("--key", "base64:?")])
def test_a_filter_of_no_such_form_ends_with_2(options: tuple[str, str]) -> None:
    result = run("list", *options, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert options[0] in result.stderr


@pytest.mark.parametrize("filters", [[], ["--store", "graph"], ["--dry-run"]])
def test_replay_wants_positions_or_all_before_it_asks_any_broker(filters: list[str]) -> None:
    result = run("replay", *filters, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name the letters by their positions, or give --all" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("show",), ("list", "--colour"), ("shwo", "0:0"), ("show", "0:0", "0:1")])
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", READING)
def test_without_brokers_the_option_is_named(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "kafka.bootstrap (TRAVELOS_KAFKA_BOOTSTRAP)" in result.stderr


@pytest.mark.parametrize("arguments", READING)
def test_an_option_that_cannot_be_used_ends_with_2_and_a_line_that_names_it(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, KAFKA_BOOTSTRAP="127.0.0.1:1", KAFKA_PARTITIONS="many")
    assert result.exit_code == 2
    assert "`kafka.partitions`" in result.stderr


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_broker_that_does_not_answer_is_one_line_without_the_password(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BriskConsumer, "patience", 0.1)
    address = f"127.0.0.1:{free_port()}"
    result = run(
        "list",
        KAFKA_BOOTSTRAP=address,
        KAFKA_SECURITY_PROTOCOL=protocol,
        KAFKA_USERNAME="reader",
        KAFKA_PASSWORD=SECRET,
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: kafka.bootstrap {address}: ")
    assert result.stderr.count("\n") == 1
    assert "KafkaError" not in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize("arguments", READING)
def test_ctrl_c_ends_with_130(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "read_topics", interrupted)
    result = run(*arguments, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (130, "")


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt
