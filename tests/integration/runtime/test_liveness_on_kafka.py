"""What a worker says of itself, and how it ends when it is told to, on real Kafka."""

import copy
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import read_topics
from deploy.local.kafka import KafkaServer
from deploy.local.ports import free_port
from streams.runtime.tables import Entry

pytestmark = pytest.mark.integration

APP = Path(__file__).with_name("watched_app.py")
PARTITIONS = 2
WAIT_SECONDS = 60.0
PATIENCE = 6.0
STOP_SECONDS = 10.0


class Watched:
    """The app of watched_app.py: its topics, and one worker at a time."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.connection = Connection(bootstrap=bootstrap)
        self.prefix = prefix
        self.folder = folder
        self.log_file = folder / "worker.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.admin: Any = AdminClient({"bootstrap.servers": bootstrap})
        topics = [NewTopic(f"{prefix}{name}", PARTITIONS, 1) for name in ("in", "out")]
        topics.append(NewTopic(f"{prefix}counts", PARTITIONS, 1, config={"cleanup.policy": "compact"}))
        for created in self.admin.create_topics(topics).values():
            created.result(30)

    def start(self) -> None:
        environment = {
            "APP_PREFIX": self.prefix,
            "APP_PARTITIONS": str(PARTITIONS),
            "APP_BOOTSTRAP": self.connection.bootstrap,
            "APP_FOLDER": str(self.folder / "state"),
            "APP_PATIENCE": str(PATIENCE),
            "APP_PORT": str(self.port),
            "PYTHONPATH": str(APP.parents[3]),
        }
        command = [sys.executable, str(APP)]
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and how long it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.terminate()
        code = self.process.wait(60)
        seconds = time.monotonic() - begun
        print(f"ended with {code} after {seconds:.1f} s")
        return code, seconds

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def produce(self, topic: str, records: list[tuple[bytes, bytes]]) -> None:
        producer = Producer({**self.connection.producer(), "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
        for key, value in records:
            producer.produce(f"{self.prefix}{topic}", key=key, value=value, partition=zlib.crc32(key) % PARTITIONS)
        assert producer.flush(60) == 0

    def committed(self) -> list[int]:
        group = f"{self.prefix}app"
        partitions = [TopicPartition(f"{self.prefix}in", number) for number in range(PARTITIONS)]
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
        return [one.offset for one in asked[group].result(10).topic_partitions]

    def finished(self) -> bool:
        meter = LagMeter(self.connection, f"{self.prefix}app")
        try:
            return all(one.lag == 0 for one in meter.progress([f"{self.prefix}in"]).values())
        finally:
            meter.close()

    def outputs(self) -> list[bytes]:
        return [record.value or b"" for record in read_topics(self.connection, [f"{self.prefix}out"])]

    def page(self, name: str) -> tuple[int, str]:
        """Return the status and the text of a page; status 0 when there is no answer within a second."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=1) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        _, text = self.page("metrics")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"stream_{name}"))

    def assigned(self) -> int:
        """Return of how many partitions it tells."""
        _, text = self.page("metrics")
        return sum(line.startswith("stream_open_runs{") for line in text.splitlines())

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log_file.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                pytest.fail(f"not within {WAIT_SECONDS:.0f} s: {what}\n{self.log_file.read_text()[-5000:]}")
            time.sleep(0.05)  # between two looks


@pytest.fixture
def watched(kafka_server: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    made = Watched(kafka_server.bootstrap, f"t{zlib.crc32(request.node.nodeid.encode()):08x}.", tmp_path)
    yield made
    made.kill()


def test_a_worker_without_lag_stays_live_and_its_metrics_add_up(watched: Watched) -> None:
    watched.start()
    watched.wait_for(lambda: watched.page("ready")[0] == 200, "ready")
    watched.produce("in", [(str(number % 10).encode(), b"x") for number in range(1_000)])
    watched.wait_for(watched.finished, "all is committed")
    quiet_until = time.monotonic() + PATIENCE * 3
    while time.monotonic() < quiet_until:
        status, text = watched.page("live")
        assert (status, json.loads(text)["state"]) == (200, "live")
        time.sleep(0.5)  # the statement is about time that passes
    assert watched.metric("records_in_total") == 1_000
    assert watched.metric('records_out_total{topic="' + watched.prefix + 'out"}') == 1_000
    assert watched.metric("batch_records_sum") == 1_000
    assert watched.metric("committed_offset") == 1_000
    assert watched.metric("lag_records") == watched.metric("lag_seconds") == watched.metric("open_runs") == 0
    assert watched.metric("commits_total") >= 1
    assert watched.logged("worker_stuck") == watched.logged("worker_waits") == []


def test_a_worker_with_nothing_to_do_stays_live_after_others_came_and_left(watched: Watched) -> None:
    watched.start()
    watched.wait_for(lambda: watched.page("ready")[0] == 200, "ready")
    other = copy.copy(watched)
    other.folder, other.port = watched.folder / "other", free_port()
    other.log_file = other.folder / "worker.log"
    other.folder.mkdir()
    other.start()
    try:
        other.wait_for(lambda: other.assigned() == 1, "it has joined")
        other.terminate()
    finally:
        other.kill()
    watched.wait_for(lambda: watched.assigned() == PARTITIONS, "it has all partitions again")
    quiet_until = time.monotonic() + PATIENCE * 2
    while time.monotonic() < quiet_until:
        status, text = watched.page("live")
        assert (status, json.loads(text)["state"]) == (200, "live")
        time.sleep(0.5)  # the statement is about time that passes


def test_a_worker_whose_agent_hangs_says_so_and_why_while_it_stays_in_the_group(watched: Watched) -> None:
    watched.start()
    watched.wait_for(lambda: watched.page("ready")[0] == 200, "ready")
    watched.produce("in", [(b"k", b"x"), (b"k", b"hang"), (b"k", b"x")])
    watched.wait_for(lambda: watched.page("live")[0] == 503, "not live")
    body = json.loads(watched.page("live")[1])
    assert body["state"] == "stuck"
    assert f"agent work has been processing {watched.prefix}in-" in body["why"]
    (told,) = watched.logged("worker_stuck")
    assert told["why"].startswith("agent work has been processing")
    assert told["where"].startswith("watched_app.py:")
    assert watched.metric("live ") == 0
    assert watched.metric("lag_seconds") >= PATIENCE
    group = watched.admin.describe_consumer_groups([f"{watched.prefix}app"])[f"{watched.prefix}app"].result(10)
    assert len(group.members) == 1
    assert watched.page("ready")[0] == 200


def test_a_worker_that_waits_for_something_outside_is_live_and_tells_what_for(watched: Watched) -> None:
    watched.start()
    watched.produce("in", [(b"k", b"away")])
    watched.wait_for(lambda: watched.logged("worker_waits"), "it tells that it waits")
    assert watched.logged("worker_waits")[0]["why"].endswith("the store is away")
    status, text = watched.page("live")
    assert (status, json.loads(text)["state"]) == (200, "waiting")
    assert watched.metric("waiting ") == 1
    assert watched.metric("retries_total") > 3


def test_a_blocked_event_loop_does_not_answer_and_is_told_with_the_line_that_blocks(watched: Watched) -> None:
    watched.start()
    watched.wait_for(lambda: watched.page("ready")[0] == 200, "ready")
    watched.produce("in", [(b"k", b"block")])
    watched.wait_for(lambda: watched.logged("worker_stuck"), "it tells that the loop does not turn")
    (told,) = watched.logged("worker_stuck")
    assert told["why"].startswith("the event loop has not turned for")
    assert told["where"].startswith("watched_app.py:")
    assert watched.page("live")[0] == 0


def test_sigterm_under_load_ends_it_within_ten_seconds_and_nothing_is_sent_twice(watched: Watched) -> None:
    total = 100_000
    watched.produce("in", [(str(number % 500).encode(), str(number).encode()) for number in range(total)])
    for _ in range(3):
        watched.start()
        watched.wait_for(lambda: watched.metric("records_out_total") > 3_000, "it is at work")
        code, seconds = watched.terminate()
        assert code == 0, watched.log_file.read_text()[-5000:]
        assert seconds < STOP_SECONDS
    assert not watched.finished(), "it ended before it was told to: nothing was tested"
    watched.start()
    watched.wait_for(watched.finished, "the rest is done")
    assert Counter(watched.outputs()) == Counter(str(number).encode() for number in range(total))


def test_sigterm_while_an_agent_hangs_ends_it_and_commits_nothing_past_the_unfinished_run(watched: Watched) -> None:
    watched.start()
    watched.wait_for(lambda: watched.page("ready")[0] == 200, "ready")
    watched.produce("in", [(b"k", b"x")] * 50)
    watched.wait_for(watched.finished, "the first ones are committed")
    watched.produce("in", [(b"k", b"hang")])
    watched.produce("in", [(b"k", b"x")] * 50)
    watched.wait_for(lambda: watched.metric("open_runs") >= 1, "it hangs")
    code, seconds = watched.terminate()
    assert (code, seconds < STOP_SECONDS) == (0, True), watched.log_file.read_text()[-5000:]
    assert max(watched.committed()) == 50


def test_sigterm_during_a_restore_ends_it_within_ten_seconds(watched: Watched) -> None:
    value = msgspec.msgpack.encode(Entry({f"{watched.prefix}in": 1}, 1))
    watched.produce("counts", [(str(number).encode(), value) for number in range(600_000)])

    def restores() -> bool:
        # How much is left is known a moment after it has begun, and it lasts for a few seconds.
        found = watched.metric("restoring ") == 1 and watched.metric("restore_remaining_records") > 0
        return found and watched.page("ready")[0] == 503

    watched.start()
    watched.wait_for(restores, "it restores, and says so")
    assert watched.page("live")[0] == 200
    code, seconds = watched.terminate()
    assert (code, seconds < STOP_SECONDS) == (0, True), watched.log_file.read_text()[-5000:]
