"""What is done with dead letters: replayed once, discarded, edited, and written down."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from schemas.events import MessageSent, decode_event, encode_event
from schemas.headers import FIRST_FAILED_AT
from schemas.sagas import SagaEntry, StepEntry, encode_saga_record, saga_headers
from schemas.writes import GraphWrite, NodeRef, encode_write
from streams.cli import dlq, dlq_actions
from tests.unit.cli.letters_on_a_cluster import (
    CATALOGUE,
    GRAPH,
    HEADERS,
    UNPRINTABLE,
    USER_EVENTS,
    Cluster,
    letter,
)

pytestmark = pytest.mark.usefixtures("surroundings")


AT = datetime(2026, 5, 1, tzinfo=UTC)
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


def test_a_write_that_its_saga_has_taken_back_is_told_to_come_too_late_and_its_compensation_is_not(
    cluster: Cluster,
) -> None:
    refused = GraphWrite(
        entity="BOOKED:1", version=5, source="s", event_id="e", occurred_at=AT, node=NodeRef("User", "u1")
    )
    compensation = structs.replace(refused, version=6, op="delete")
    other = letter(topic=GRAPH, store="graph", value=encode_write(refused), offset=1)
    headers = saga_headers("booking_made/1", "booking:1")
    cluster.holds(
        other,
        letter(topic=GRAPH, store="graph", value=encode_write(refused), headers=headers, offset=2),
        letter(topic=GRAPH, store="graph", value=encode_write(compensation), headers=headers, offset=3),
        letter(topic=GRAPH, store="graph", value=encode_write(refused), headers=saga_headers("gone", "x:1"), offset=4),
    )
    step = StepEntry(name="booked", store="graph", entity="BOOKED:1", version=5, op="upsert", status="undone")
    saga = SagaEntry(
        id="booking_made/1",
        definition="booking_made",
        subject="booking:1",
        version=5,
        event_id="e",
        status="compensated",
        began_ms=1,
        at_ms=2,
        steps=[step],
    )
    cluster.put(CATALOGUE.saga_log.name, saga.id, encode_saga_record(saga))
    result = cluster.run("replay", "--all", "--dry-run", "--json")
    assert json.loads(result.stdout)["taken_back"] == 1
    told = [line for line in result.stderr.splitlines() if "saga" in line]
    assert told == [
        "0:1: its saga booking_made/1 has taken it back (compensated), so its store will answer that it comes too "
        "late; publish the fact again under an event_id of its own",
        "0:3: its saga gone is forgotten; if it took this back, nothing changes",
    ]


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
