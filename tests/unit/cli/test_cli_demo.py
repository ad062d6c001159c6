"""What `travelos demo` makes of its options and of an outcome. The demo is a stand-in; it runs in tests/integration."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from msgspec import structs
from typer.testing import CliRunner, Result

from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.kafka.lag import Progress
from deploy.local.ports import free_port
from deploy.local.process import ServerFailed
from schemas.events import GpsUpdate
from schemas.writes import STORES
from streams.cli import common, demo
from streams.data_folder import FolderRefused
from streams.demo.faults import Fault
from streams.demo.live import LiveChanges
from streams.demo.progress import Sample
from streams.demo.questions import Answer
from streams.demo.run import DemoFailed, Outcome
from streams.demo.verdict import Verdict
from streams.demo.world import World
from streams.platform import Platform
from streams.verify.model import Expected
from streams.verify.reconcile import Report, StoreReport

SECRET = "hunter" * 2
NOTHING_CHANGES = LiveChanges(changes=[], expected={}, arrived=[], late=[], late_from=0, deleted=[], recreated=[])
LATE = Fault(name="late", topic="user", key=b"u", value=b"{}", headers=(), fate="arrives", after=0)
WORLD = World(tables={}, travellers=[], events=[], gps=[], faults=[LATE, LATE], changes=NOTHING_CHANGES)
SAMPLE = Sample(
    at=0.0,
    published=1_234,
    changes=5,
    ingest=Progress(1_000, 1_234),
    deliver=dict.fromkeys(STORES, Progress(10, 12)),
    rows=dict.fromkeys(STORES, None),
    waiting=0,
    cdc_behind=True,
)
GOOD = Report(
    stores=[StoreReport(store="graph", expected=3, found=3)], letters_expected=1, letters_found=1, problems=[]
)
ANSWER = Answer("Who is near?", ("name", "metres"), [("[b]Ada[/b]", "12")])

app = typer.Typer()
app.command()(demo.command)


class StandIn:
    """Stands for the demo: shows a sample, and ends as it is told to."""

    def __init__(self) -> None:
        self.outcome = outcome()
        self.happens: Callable[[], object] = lambda: None
        self.made: list[dict[str, Any]] = []

    def __call__(self, platform: Platform, **named: Any) -> "StandIn":
        self.made.append({"platform": platform, **named})
        return self

    def run(self) -> Outcome:
        self.made[-1]["show"](SAMPLE)
        self.happens()
        return self.outcome


def outcome(report: Report = GOOD, answers: tuple[Answer, ...] = (ANSWER,)) -> Outcome:
    expected = Expected(events=1_200, changes=7, duplicates=2)
    return Outcome(WORLD, list(answers), Verdict(expected, report), {"start": 1.5, "pipeline": 20.0})


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common.out, "width", 200)
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setattr(demo, "Demo", made)
    return made


def run(*arguments: str, kafka: str = "memory", **environ: str) -> Result:
    variables = {f"TRAVELOS_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(app, ["--kafka", kafka, *arguments], env=variables)


def test_when_all_adds_up_it_says_so_with_answers_figures_and_the_folder_and_ends_with_0() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    for words in (
        "Kafka in memory",
        "Who is near?",
        "[b]Ada[/b]",
        "1,200 events and 7 row changes accounted for; 1 of 1 bad records are dead letters; 2 duplicates vanished.",
        "All adds up.",
        "21.5 s (start 1.5 s, pipeline 20.0 s)",
        f"Look into {Path.cwd() / 'travelos-data'}",
    ):
        assert words in result.stdout
    assert "published 1,234" in result.stderr


def test_problems_end_with_1_and_are_printed_as_they_are_but_not_by_the_thousand(stand_in: StandIn) -> None:
    problems = [f"USER:{number} has [/name] ['{number}']" for number in range(50)]
    stores = [StoreReport(store="graph", expected=60, found=10, problems=problems)]
    stand_in.outcome = outcome(structs.replace(GOOD, stores=stores, problems=["a letter is missing"]))
    result = run()
    assert result.exit_code == 1
    assert "It does not add up." in result.stdout
    assert "✗ a letter is missing\n" in result.stdout
    assert "✗ USER:18 has [/name] ['18']\n" in result.stdout
    assert "USER:19" not in result.stdout
    assert "... and 31 more" in result.stdout


def test_a_question_without_an_answer_ends_with_1(stand_in: StandIn) -> None:
    stand_in.outcome = outcome(answers=(ANSWER, Answer("Who is far?", ("name",), [])))
    result = run()
    assert result.exit_code == 1
    assert "no answer" in result.stdout


@pytest.mark.parametrize(("problems", "code"), [([], 0), (["a letter is missing"], 1)])
def test_machines_get_one_json_document_and_the_progress_goes_elsewhere(
    stand_in: StandIn, problems: list[str], code: int
) -> None:
    stand_in.outcome = outcome(structs.replace(GOOD, problems=problems))
    result = run("--json")
    assert result.exit_code == code
    found = json.loads(result.stdout)
    assert (found["kafka"], found["records"]) == ("memory", 2)
    assert found["data_dir"] == str(Path.cwd() / "travelos-data")
    assert found["answers"] == [{"question": "Who is near?", "rows": [{"name": "[b]Ada[/b]", "metres": "12"}]}]
    assert found["reconciliation"]["adds_up"] is not problems
    assert found["reconciliation"]["problems"] == problems
    assert found["seconds"] == {"start": 1.5, "pipeline": 20.0}
    assert "published 1,234" in result.stderr


def test_the_options_reach_the_demo_and_the_command_line_wins(stand_in: StandIn) -> None:
    arguments = ["--count", "1500", "--seed", "9", "--timeout", "30", "--data-dir", "elsewhere"]
    assert run(*arguments, kafka="broker:9092", DATA_DIR="here", KAFKA_BOOTSTRAP="other:1").exit_code == 0
    (made,) = stand_in.made
    assert (made["count"], made["seed"], made["timeout"], made["fixes"]) == (1_500, 9, 30.0, None)
    platform: Platform = made["platform"]
    assert (platform.kind, str(platform.loaded.options.data_dir)) == ("named", "elsewhere")


@pytest.mark.parametrize(
    "error",
    [
        DemoFailed("ingest keeps ending; see ingest.log"),
        ServerFailed("kafka did not answer within 60 s"),
        FolderRefused("another `travelos demo` works in [/data]"),
        KafkaUnavailable("kafka.bootstrap a:1 does not answer: timed out"),
        TopicsError("topic `receipts` has 2 partitions"),
    ],
)
def test_what_cannot_be_carried_through_ends_with_1_and_its_own_words(stand_in: StandIn, error: Exception) -> None:
    def fail() -> None:
        raise error

    stand_in.happens = fail
    for arguments in ([], ["--json"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert f"\nerror: {error}\n" in result.stderr
        assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://u:{secret}@127.0.0.1:{port}/d", "Connection refused"),
        ("postgresql:/u:{secret}@127.0.0.1:{port}/d", "no connection string; write postgresql://"),
        ("host=127.0.0.1 port={port} password='{secret}", "no connection string; write postgresql://"),
    ],
)
def test_a_database_that_cannot_be_reached_ends_with_1_and_the_option_but_not_the_password(
    stand_in: StandIn, dsn: str, said: str
) -> None:
    dsn = dsn.format(secret=SECRET, port=free_port())
    stand_in.happens = lambda: psycopg.connect(dsn)
    result = run(SOURCE_DSN=dsn)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: source.dsn: ")
    assert said in line
    assert SECRET not in result.output


def test_ctrl_c_ends_with_130_and_prints_no_outcome(stand_in: StandIn) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stand_in.happens = interrupt
    result = run("--json")
    assert (result.exit_code, result.stdout) == (130, "")


@pytest.mark.parametrize(
    "arguments", [("--count", "999"), ("--timeout", "9"), ("--seed", "x"), ("--colour",), ("everything",)]
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], stand_in: StandIn) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout, stand_in.made) == (2, "", [])


def test_a_kafka_that_there_is_not_ends_with_2_and_those_there_are(stand_in: StandIn) -> None:
    result = run(kafka="nonsense")
    assert (result.exit_code, result.stdout, stand_in.made) == (2, "", [])
    assert result.stderr == "error: --kafka must be auto, real, memory or HOST:PORT, got 'nonsense'\n"


def test_an_option_that_cannot_be_used_ends_with_2_and_a_line_that_names_it(stand_in: StandIn) -> None:
    result = run(SOURCE_SNAPSHOT="never", SOURCE_DSN=f"postgresql://u:{SECRET}@h/d")
    assert (result.exit_code, result.stdout, stand_in.made) == (2, "", [])
    assert "`source.snapshot`" in result.stderr
    assert SECRET not in result.output


GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="52.2" lon="0.12"><time>2026-03-01T08:00:00Z</time></trkpt>
<trkpt lat="52.3" lon="0.13"></trkpt>
<trkpt lat="52.4" lon="0.14"><time>2026-03-01T08:00:05Z</time></trkpt>
</trkseg></trk></gpx>"""


def test_fixes_of_a_file_are_used_and_a_bad_one_is_named(stand_in: StandIn) -> None:
    Path("ride.gpx").write_text(GPX)
    result = run("--gps", "ride.gpx")
    assert result.exit_code == 0, result.output
    fixes: list[GpsUpdate] = stand_in.made[0]["fixes"]
    assert [fix.lat for fix in fixes] == [52.2, 52.4]
    assert "ride.gpx, point 2: " in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.gpx", None, "absent.gpx cannot be read"),
        ("ride.gpx", "no XML", "no column for `lat`"),
        ("ride.csv", "lat,lon,time\n", "ride.csv holds no GPS fix"),
    ],
)
def test_a_file_without_fixes_ends_with_2_before_anything_is_started(
    name: str, content: str | None, said: str, stand_in: StandIn
) -> None:
    if content is not None:
        Path(name).write_text(content)
    result = run("--gps", name)
    assert (result.exit_code, result.stdout, stand_in.made) == (2, "", [])
    assert said in result.stderr


def test_a_store_that_is_not_embedded_is_refused_before_anything_starts(stand_in: StandIn) -> None:
    result = run(STORES_CACHE_KIND="redis")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "stores.cache.kind is 'redis': unset it (TRAVELOS_STORES_CACHE_KIND)" in result.stderr
    assert stand_in.made == []
