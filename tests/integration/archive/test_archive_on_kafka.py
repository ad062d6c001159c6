"""The archive on a real broker: in a folder and in S3, through kill -9, rebalances, gaps and quiet topics."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from msgspec import structs

from connectors.archive.reading import Checked, Wanted, check, read
from connectors.kafka.admin import ensure_topics
from connectors.kafka.lag import LagMeter
from connectors.kafka.reading import StoredRecord, read_topics, stored
from connectors.storage.contract import Storage
from deploy.local.kafka import KafkaServer
from deploy.local.s3 import S3Server
from schemas.topics import Topic
from streams.archive import Archiver, plan_of, storage_of
from streams.archive.plan import group_of
from streams.settings import Options, load

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PARTITIONS = 3
PATIENCE_SECONDS = 60.0
_numbers = count()


def topic_of(name: str) -> Topic:
    return Topic(name=name, key="", value="", owner="", purpose="", partitions=PARTITIONS)


class Installation:
    """An archive of its own, with options that differ from the defaults."""

    def __init__(self, folder: Path, bootstrap: str, more: Mapping[str, str]) -> None:
        self.environ = {
            "TRAVELOS_DATA_DIR": str(folder),
            "TRAVELOS_KAFKA_BOOTSTRAP": bootstrap,
            "TRAVELOS_KAFKA_TOPIC_PREFIX": f"archived{next(_numbers)}.",
            "TRAVELOS_ARCHIVE_FILE_SECONDS": "1",
            **more,
        }
        self.options: Options = load(environ=self.environ).options
        self.connection = self.options.kafka.connection()
        self.topic = self.options.catalogue().user_events.name
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self) -> None:
        ensure_topics(self.connection, [topic_of(self.topic)])

    def delete(self, topic: str) -> None:
        admin: Any = AdminClient(self.connection.client())
        admin.delete_topics([topic])[topic].result(30)

    def produce(self, numbers: Sequence[int], producer: Producer | None = None, topic: str = "") -> None:
        """Send records with everything that a record may have, and wait until all are acknowledged."""
        client = producer or Producer(self.connection.producer())
        for number in numbers:
            text = b'{"n": %d, "s": "\xc3\xa9"}' % number
            value = None if number % 17 == 0 else os.urandom(20) if number % 5 == 0 else text
            headers: list[tuple[str, str | bytes | None]] = [("n", b"%d" % number), ("raw", b"\xff\0"), ("none", None)]
            client.produce(topic or self.topic, value, b"key%d" % (number % 50), headers=headers[: number % 4])
        assert client.flush(60) == 0

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        program = [sys.executable, "-m", "streams.cli", "archive", *arguments]
        return subprocess.run(
            program, env={**os.environ, **self.environ}, cwd=self.folder, capture_output=True, check=check
        )

    def start(self) -> "subprocess.Popen[bytes]":
        program = [sys.executable, "-m", "streams.cli", "archive", "run"]
        log = (self.folder / f"run{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            program, env={**os.environ, **self.environ}, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        self.processes.append(process)
        return process

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """Stop a worker in order: one that has only begun to start would be ended by the signal itself."""
        log = self.folder / f"run{self.processes.index(process)}.log"
        wait_for(lambda: b"archive_topics" in log.read_bytes())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()

    def in_kafka(self) -> list[StoredRecord]:
        return sorted(read_topics(self.connection, [self.topic]), key=lambda one: (one.partition, one.offset))

    def wait_until_archived(self) -> None:
        """Wait until the consumer group has committed up to the end of every partition that has records."""
        ends: dict[int, int] = {}
        for record in self.in_kafka():
            ends[record.partition] = record.offset + 1
        meter = LagMeter(self.connection, group_of(self.options))
        try:

            def committed() -> bool:
                positions = meter.positions([self.topic])
                return all(positions[self.topic, partition].done >= end for partition, end in ends.items())

            wait_for(committed)
        finally:
            meter.close()

    def storage(self) -> Storage:
        storage = storage_of(self.options)
        storage.open()
        return storage

    def archived(self) -> list[StoredRecord]:
        return list(read(self.storage(), self.topic, Wanted()))

    def checked(self) -> list[Checked]:
        return check(self.storage(), self.topic, content=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def in_s3(server: S3Server) -> dict[str, str]:
    return {
        "TRAVELOS_STORES_OBJECTS_KIND": "s3",
        "TRAVELOS_STORES_OBJECTS_ENDPOINT": server.address,
        "TRAVELOS_STORES_OBJECTS_ACCESS_KEY": server.access_key,
        "TRAVELOS_STORES_OBJECTS_SECRET_KEY": server.secret_key,
        "TRAVELOS_STORES_OBJECTS_PATH_STYLE": "true",
        "TRAVELOS_STORES_OBJECTS_BUCKET": f"archive-{uuid4().hex}",
    }


@pytest.fixture(params=["folder", "s3", "parquet"])
def installed(
    request: pytest.FixtureRequest, kafka_server: KafkaServer, s3_server: S3Server, tmp_path: Path
) -> Iterator[Installation]:
    more: dict[str, str] = {}
    if request.param == "s3":
        more = in_s3(s3_server)
    if request.param == "parquet":
        more = {"TRAVELOS_ARCHIVE_FORMAT": "parquet"}
    found = Installation(tmp_path, kafka_server.bootstrap, more)
    yield found
    for process in found.processes:
        process.kill()
        process.wait()


@pytest.fixture
def in_folder(kafka_server: KafkaServer, tmp_path: Path) -> Iterator[Installation]:
    found = Installation(tmp_path, kafka_server.bootstrap, {})
    yield found
    for process in found.processes:
        process.kill()
        process.wait()


def test_a_topic_is_archived_byte_for_byte_and_a_quiet_one_too(installed: Installation) -> None:
    installed.create()
    installed.produce(range(1_000))
    worker = installed.start()
    installed.wait_until_archived()  # nothing new comes: only the clock can have completed the objects
    assert installed.archived() == installed.in_kafka()
    installed.stop(worker)
    objects = list(installed.storage().names("topics/"))
    again = installed.start()
    installed.produce(range(1_000, 1_010))
    installed.wait_until_archived()
    installed.stop(again)
    assert installed.archived() == installed.in_kafka()
    assert set(objects) < set(installed.storage().names("topics/"))
    assert all(one.whole for one in installed.checked())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("installed", ["folder", "s3"], indirect=True)
def test_nothing_is_missing_or_twice_after_kills_and_rebalances(installed: Installation) -> None:
    installed.create()
    random = Random(1)
    producer = Producer(installed.connection.producer())
    storage = installed.storage()
    sent = 0

    def more_objects_than(before: int) -> bool:
        nonlocal sent
        installed.produce(range(sent, sent + 200), producer)
        sent += 200
        return len(list(storage.names("topics/"))) > before

    workers = [installed.start(), installed.start()]
    for _ in range(4):
        before = len(list(storage.names("topics/")))
        wait_for(partial(more_objects_than, before + random.randrange(6)))
        killed = random.randrange(2)
        workers[killed].kill()
        workers[killed].wait()
        workers[killed] = installed.start()
    installed.wait_until_archived()
    for worker in workers:
        installed.stop(worker)
    assert installed.archived() == installed.in_kafka()
    assert len(installed.archived()) == sent
    assert all(one.whole and not one.pending for one in installed.checked())


def test_a_worker_that_was_paused_while_another_took_over_changes_nothing(in_folder: Installation) -> None:
    in_folder.environ |= {"TRAVELOS_ARCHIVE_FILE_SECONDS": "5", "TRAVELOS_ARCHIVE_FILE_RECORDS": "70"}
    in_folder.create()
    in_folder.produce(range(300))
    paused = in_folder.start()
    in_folder.wait_until_archived()
    storage, before = in_folder.storage(), in_folder.in_kafka()
    objects = len(list(storage.names("topics/")))
    in_folder.produce(range(300, 600))
    new = Counter(record.partition for record in in_folder.in_kafka())
    new.subtract(record.partition for record in before)
    full = sum(count // 70 for count in new.values())
    assert any(count % 70 for count in new.values())  # which it has collected when the full objects are there
    wait_for(lambda: len(list(storage.names("topics/"))) == objects + full)
    os.kill(paused.pid, signal.SIGSTOP)
    other = in_folder.start()
    in_folder.wait_until_archived()  # once the session of the paused one has expired
    os.kill(paused.pid, signal.SIGCONT)
    in_folder.produce(range(600, 900))
    in_folder.wait_until_archived()
    in_folder.stop(paused)
    in_folder.stop(other)
    assert in_folder.archived() == in_folder.in_kafka()
    assert all(one.whole for one in in_folder.checked())


@pytest.mark.parametrize("others", [False, True])
def test_what_was_read_of_a_topic_before_it_was_deleted_is_archived(
    in_folder: Installation, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    taken: list[int] = []

    def noted(message: Message) -> StoredRecord:
        taken.append(message.offset() or 0)
        return stored(message)

    monkeypatch.setattr("streams.archive.archiver.stored", noted)
    monkeypatch.setattr("streams.archive.archiver.TOPICS_SECONDS", 0.5)
    in_folder.create()
    in_folder.produce(range(300))
    there = in_folder.in_kafka()
    gps = in_folder.options.catalogue().gps_events.name
    if others:
        ensure_topics(in_folder.connection, [topic_of(gps)])
    plan = plan_of(in_folder.options)
    patient = structs.replace(plan, bounds=structs.replace(plan.bounds, seconds=3_600))
    stop = threading.Event()
    storage = storage_of(in_folder.options)
    archiver = Archiver(in_folder.connection, group_of(in_folder.options), storage, patient)
    thread = threading.Thread(target=archiver.run, args=[stop])
    thread.start()
    try:
        wait_for(lambda: len(taken) == 300)
        assert in_folder.archived() == []
        in_folder.delete(in_folder.topic)
        wait_for(lambda: in_folder.archived() == there)
        ensure_topics(in_folder.connection, [topic_of(gps)])  # and what comes later is archived, too
        in_folder.produce(range(100), topic=gps)
        wait_for(lambda: len(taken) == 400)
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
    assert len(list(read(in_folder.storage(), gps, Wanted()))) == 100


def test_offsets_that_transactions_took_are_no_gaps(in_folder: Installation) -> None:
    in_folder.create()
    config: dict[str, Any] = {**in_folder.connection.producer(), "transactional.id": uuid4().hex}
    producer = Producer(config)
    producer.init_transactions(30)
    for turn in range(4):
        producer.begin_transaction()
        in_folder.produce(range(100 * turn, 100 * turn + 100), producer)
        (producer.abort_transaction if turn % 2 else producer.commit_transaction)(30)
    worker = in_folder.start()
    in_folder.wait_until_archived()
    in_folder.stop(worker)
    assert in_folder.archived() == in_folder.in_kafka()
    assert len(in_folder.archived()) == 200
    assert all(one.whole for one in in_folder.checked())


def test_what_is_archived_can_be_printed_checked_and_put_back(in_folder: Installation) -> None:
    in_folder.create()
    in_folder.produce(range(500))
    worker = in_folder.start()
    in_folder.wait_until_archived()
    in_folder.stop(worker)
    one = in_folder.in_kafka()[7]
    chosen = ("--partition", str(one.partition), "--from", str(one.offset), "--to", str(one.offset + 1))
    (line,) = in_folder.command("read", in_folder.topic, *chosen).stdout.splitlines()
    assert json.loads(line)["offset"] == one.offset
    assert len(in_folder.command("read", in_folder.topic, "--from", "2020-01-01").stdout.splitlines()) == 500
    assert in_folder.command("read", in_folder.topic, "--to", "2020-01-01").stdout == b""
    assert in_folder.command("read", in_folder.topic, "--from", "soon", check=False).returncode == 2

    back = f"{in_folder.topic}.back"
    ensure_topics(in_folder.connection, [topic_of(back)])
    in_folder.command("read", in_folder.topic, "--produce-to", back)
    there = sorted(read_topics(in_folder.connection, [back]), key=lambda one: (one.partition, one.offset))
    fields = ("partition", "offset", "timestamp", "key", "value", "headers")
    assert [[getattr(one, name) for name in fields] for one in there] == [
        [getattr(one, name) for name in fields] for one in in_folder.in_kafka()
    ]

    nowhere = in_folder.command("read", in_folder.topic, "--produce-to", "no-such-topic", check=False)
    assert nowhere.returncode == 1
    assert b"no-such-topic" in nowhere.stderr
    assert in_folder.command("check").returncode == 0
    names = sorted(in_folder.storage().names("topics/"))
    (in_folder.folder / "archive" / names[0]).write_bytes(b"damaged")
    checked = in_folder.command("check", "--content", "--json", check=False)
    assert checked.returncode == 1
    assert names[0] in json.loads(checked.stdout)[0]["problems"]


@pytest.mark.timeout(300)
def test_a_store_that_is_killed_under_load_loses_nothing(
    kafka_server: KafkaServer, start_server: Callable[[Any], Any], tmp_path: Path
) -> None:
    server = S3Server(tmp_path / "s3")
    start_server(server)
    installed = Installation(tmp_path, kafka_server.bootstrap, in_s3(server))
    try:
        installed.create()
        worker = installed.start()
        for turn in range(4):
            installed.produce(range(1_000 * turn, 1_000 * turn + 1_000))
            if turn == 0:
                installed.wait_until_archived()
            if turn == 1:
                server.kill()
            if turn == 2:
                wait_for(lambda: "archive_interrupted" in (tmp_path / "run0.log").read_text())
                server.start()
        installed.wait_until_archived()
        installed.stop(worker)
        assert installed.archived() == installed.in_kafka()
        assert len(installed.archived()) == 4_000
        assert all(one.whole for one in installed.checked())
    finally:
        for process in installed.processes:
            process.kill()
            process.wait()
        server.delete()
