"""Dead letters at the command line, on librdkafka's in-memory cluster; a real broker is in tests/integration."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from msgspec import structs
from typer.testing import CliRunner, Result

import connectors.kafka.reading
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import MemoryKafka
from deploy.local.ports import free_port
from schemas.events import MessageSent, decode_event, encode_event
from schemas.headers import FIRST_FAILED_AT, VALUE_LEFT_OUT, Headers
from schemas.topics import Catalogue
from streams.cli import common, dlq, dlq_actions, letters
from streams.deadletters import dead_letter
from streams.runtime.publisher import Outgoing

CATALOGUE = Catalogue()
USER_EVENTS = CATALOGUE.user_events.name
GRAPH = CATALOGUE.writes("graph").name
SECRET = "hunter" * 2
UNPRINTABLE = b"\xff\x00"
HEADERS: Headers = (("ce_id", b"1"), ("tag", b"one"), ("tag", None), ("tag", UNPRINTABLE))
READING = [("list",), ("show", "0:0"), ("replay", "--all"), ("discard", "--all"), ("edit", "0:0"), ("audit",)]


class BriskConsumer(Consumer):
    """Does not wait for more than there is."""

    patience = 10.0

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__({**config, "fetch.wait.max.ms": 10})

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        return super().consume(num_messages, min(timeout, 0.02))

    def list_topics(self, *args: Any, timeout: float = -1, **others: Any) -> Any:
        return super().list_topics(*args, timeout=min(timeout, self.patience), **others)


class Cluster:
    """Some dead letters, at the positions 0:0, 0:1, ... of their topic."""

    def __init__(self, bootstrap: str) -> None:
        self.connection = Connection(bootstrap=bootstrap)

    def holds(self, *letters: Outgoing) -> None:
        """Put dead letters into the first partition of their topic."""
        admin = AdminClient(dict(self.connection.client()))
        for topic in (CATALOGUE.dead_letters.name, CATALOGUE.letter_actions.name, USER_EVENTS, GRAPH):
            admin.list_topics(topic)  # which is how a topic is created on this cluster
        producer = Producer({**self.connection.client(), "linger.ms": 0})
        for number, one in enumerate(letters, start=1):
            headers: list[tuple[str, str | bytes | None]] = list(one.headers)
            producer.produce(one.topic, one.value, one.key, headers=headers, partition=0, timestamp=number)
        assert producer.flush(10) == 0

    def records(self, topic: str) -> list[StoredRecord]:
        return read_topics(self.connection, [topic])

    def run(self, *arguments: str) -> Result:
        return run(*arguments, KAFKA_BOOTSTRAP=self.connection.bootstrap)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    monkeypatch.setattr(connectors.kafka.reading, "Consumer", BriskConsumer)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Cluster(kafka.bootstrap)
    finally:
        kafka.stop()


def run(*arguments: str, **environ: str) -> Result:
    variables = {f"TRAVELOS_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(dlq.app, list(arguments), env=variables)


def letter(
    message: str = "no `lat`",
    *,
    topic: str = USER_EVENTS,
    store: str | None = None,
    key: bytes | None = b"u1",
    value: bytes | None = b'{"a":1}',
    headers: Headers = HEADERS,
    offset: int = 7,
) -> Outgoing:
    record = StoredRecord(topic=topic, partition=3, offset=offset, timestamp=0, key=key, value=value, headers=headers)
    component, stage = ("ingest", "decode") if store is None else (f"deliver.{store}", "write")
    return dead_letter(
        CATALOGUE, record, component=component, stage=stage, error=ValueError(message), store=store, attempts=2
    )


def without_value(one: Outgoing) -> Outgoing:
    return Outgoing(one.topic, one.key, None, (*one.headers, (VALUE_LEFT_OUT, b"12000000")))


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


GOOD = encode_event(
    MessageSent(
        event_id="m1",
        user_id="u1",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        conversation_id="c1",
        role="user",
        text="hello",
    )
)


def test_what_was_replayed_is_not_replayed_again_unless_asked_for(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter(offset=2))
    assert cluster.json("replay", "0:0")["sent"] == 1
    assert cluster.json("replay", "--all", "--dry-run")["would_send"] == 1
    said = cluster.json("replay", "--all")
    assert (said["sent"], said["dealt_with_before"]) == (1, 1)
    assert cluster.json("replay", "--all")["sent"] == 0
    assert "2 were dealt with before; --again takes them, too" in cluster.run("replay", "--all").stdout
    assert len(cluster.records(USER_EVENTS)) == 2
    assert cluster.json("replay", "0:1", "--again")["sent"] == 1
    assert [row["state"] for row in cluster.json("list", "--each")] == ["replayed"] * 2


def test_what_is_done_with_letters_is_written_down_with_who_when_and_what_and_no_value(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter(offset=2), letter(offset=3, value=GOOD[:-1]))
    began = datetime.now(UTC)
    cluster.json("replay", "0:0", "--why", "fixed in 1.2")
    cluster.json("discard", "0:1")
    Path("good.json").write_bytes(GOOD)
    cluster.json("edit", "0:2", "--value", "good.json")
    cluster.json("replay", "--all", "--dry-run")
    replayed, discarded, edited = cluster.json("audit")
    assert (replayed["deed"], replayed["position"], replayed["why"]) == ("replayed", "0:0", "fixed in 1.2")
    assert replayed["origin"] == f"{USER_EVENTS}-3@1"
    assert "@" in replayed["by"]
    assert began <= datetime.fromisoformat(replayed["at"]) <= datetime.now(UTC)
    assert replayed["found"] == replayed["sent"] == sha256(b'{"a":1}').hexdigest()
    assert (discarded["deed"], discarded["sent"]) == ("discarded", None)
    assert (edited["deed"], edited["found"], edited["sent"]) == (
        "edited",
        sha256(GOOD[:-1]).hexdigest(),
        sha256(GOOD).hexdigest(),
    )
    (first, *_) = cluster.records(CATALOGUE.letter_actions.name)
    assert b'"a"' not in (first.value or b"")


def test_discarded_letters_are_passed_over_and_stay_to_be_looked_at(cluster: Cluster) -> None:
    cluster.holds(letter("no `lat`", offset=1), letter("cut off", offset=2))
    assert cluster.json("discard", "--all", "--message", "lat", "--dry-run") == {
        "discarded": 0,
        "would_discard": 1,
        "dealt_with_before": 0,
    }
    assert [row["state"] for row in cluster.json("list", "--each")] == ["open", "open"]
    assert cluster.run("discard", "0:0").stdout == "discarded 1 of 1 letters\n"
    assert cluster.json("discard", "0:0")["dealt_with_before"] == 1
    assert [row["position"] for row in cluster.json("list", "--each", "--state", "open")] == ["0:1"]
    assert [row["position"] for row in cluster.json("list", "--each", "--state", "discarded")] == ["0:0"]
    assert cluster.json("show", "0:0")["state"] == "discarded"
    assert cluster.json("replay", "--all")["sent"] == 1


def test_an_edited_record_is_sent_with_its_key_and_headers_once_it_would_be_read(cluster: Cluster) -> None:
    broken = GOOD.replace(b'"user"', b'"usr"')
    cluster.holds(letter(value=broken))
    refused = cluster.run("edit", "0:0", "--set", "text=again")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "it would fail again, so nothing was sent: Invalid enum value" in refused.stderr
    assert "$.role" in refused.stderr
    arguments = ("edit", "0:0", "--set", "role=user", "--set", "text=mended")
    assert cluster.json(*arguments, "--dry-run")["sent"] == 0
    assert cluster.records(USER_EVENTS) == []
    assert cluster.json(*arguments)["sent"] == 1
    (sent,) = cluster.records(USER_EVENTS)
    assert (sent.key, tuple(sent.headers)) == (b"u1", HEADERS)
    assert decode_event(sent.value or b"") == structs.replace(decode_event(GOOD), text="mended")
    assert cluster.json("list", "--each")[0]["state"] == "edited"


def test_a_value_may_be_edited_as_a_whole_in_an_editor_from_a_file_or_from_standard_input(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.holds(letter(value=GOOD[:-1]))

    def editor(text: str, **_: object) -> str:
        return text + "}\n"

    monkeypatch.setattr(dlq_actions.click, "edit", editor)
    cluster.json("edit", "0:0")
    unchecked = CliRunner().invoke(
        dlq.app,
        ["edit", "0:0", "--value", "-", "--unchecked"],
        input="raw",
        env={"TRAVELOS_KAFKA_BOOTSTRAP": cluster.connection.bootstrap},
    )
    assert unchecked.exit_code == 0
    assert [one.value for one in cluster.records(USER_EVENTS)] == [GOOD, b"raw"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--set", "a=2", "--value", "x"), 2, "give --set or --value, not both"),
        (("--set", "nonsense"), 2, "expected path=value"),
        (("--value", "absent.json"), 2, "--value absent.json cannot be read"),
        (("--set", "a=1", "--unchecked"), 0, ""),
    ],
)
def test_a_correction_that_cannot_be_made_says_why(
    cluster: Cluster, arguments: tuple[str, ...], code: int, said: str
) -> None:
    cluster.holds(letter())
    result = cluster.run("edit", "0:0", *arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_what_did_not_change_is_not_sent_as_an_edit(cluster: Cluster) -> None:
    cluster.holds(letter(value=GOOD))
    Path("same.json").write_bytes(GOOD)
    result = cluster.run("edit", "0:0", "--value", "same.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing was changed" in result.stderr


def test_what_would_fail_again_is_told_with_its_reason(cluster: Cluster) -> None:
    cluster.holds(letter(offset=1), letter(offset=2, value=GOOD))
    result = cluster.run("replay", "--all", "--dry-run", "--json")
    assert json.loads(result.stdout)["would_fail_again"] == 1
    assert result.stderr.startswith("0:0: fails again: Object missing required field `type`")


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--key", "u1"], ["0:0"]),
        (["--key", "base64:/wA="], ["0:1"]),
        (["--since", "2026-03-01T12:00Z"], ["0:1"]),
        (["--since", "2026-03-01T12:00:01Z"], []),
        (["--until", "2026-03-01T12:00Z"], ["0:0"]),
        (["--since", "2026-02-01", "--until", "2026-03-01T13:00+01:00"], ["0:0"]),
    ],
)
def test_letters_are_found_by_their_key_and_by_when_they_failed(
    cluster: Cluster, options: list[str], positions: list[str]
) -> None:
    early, late = letter(offset=1), letter(offset=2, key=UNPRINTABLE)
    at = {early.key: b"2026-02-28T23:00:00+00:00", late.key: b"2026-03-01T12:00:00+00:00"}
    cluster.holds(
        *(
            structs.replace(
                one,
                headers=[(name, at[one.key] if name == FIRST_FAILED_AT else value) for name, value in one.headers],
            )
            for one in (early, late)
        )
    )
    assert [row["position"] for row in cluster.json("list", "--each", *options)] == positions


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
    monkeypatch.setattr(letters, "read_topics", interrupted)
    result = run(*arguments, KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (130, "")


def interrupted(*_: object) -> Any:
    raise KeyboardInterrupt
