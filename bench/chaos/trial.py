# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""One scenario's topics, load and workers: what it can do to them, and what is read of them in the end."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.chaos.checker import Findings, Loss, Tables, check
from bench.chaos.events import Output, Stored, Told
from bench.chaos.load import Load
from bench.chaos.versioned import applied
from bench.report import ROOT
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, read_topics
from connectors.kafka.watermarks import watermarks
from deploy.local.kafka import KafkaServer
from schemas.headers import ERROR_OFFSET, ERROR_PARTITION, header_map
from streams.runtime.app import SESSION_SECONDS
from streams.supervisor import RoleProcess

T = TypeVar("T")

PARTITIONS = 4
ALL = range(PARTITIONS)
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.1
MAX_POLL_SECONDS = 300.0
ADMIN_SECONDS = 10.0
DESCRIBE_SECONDS = 3.0
COORDINATOR_SECONDS = 30.0

_told = msgspec.json.Decoder(Told).decode
_entry = msgspec.msgpack.Decoder(tuple[dict[str, int], int, int]).decode


class NotReached(RuntimeError):  # noqa: N818 - says what happened
    """What a scenario waited for did not come; the message ends with the last lines of each worker's log."""


class Worker:
    """One life of a worker; the next one has another name."""

    def __init__(self, process: RoleProcess) -> None:
        self.process = process
        self.name = process.name

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.pid is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; harmless when it is gone."""
        pid = self.process.pid
        if pid is not None:
            os.kill(pid, number)

    def says(self, *events: str) -> list[dict[str, Any]]:
        """Return the lines of its log that have one of these event names, or any when none is given."""
        found: list[dict[str, Any]] = []
        for line in self.process.log_file.read_text(errors="replace").splitlines():
            try:
                said = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue  # a line of a library that does not log through us, or half of one
            if not events or said.get("event") in events:
                found.append(said)
        return found


def is_shared(owners: Mapping[str, set[int]], workers: set[str], partitions: int) -> bool:
    """Whether exactly these workers have all partitions, in shares that differ by one at most."""
    shares = [len(share) for share in owners.values()]
    return set(owners) == workers and sum(shares) == partitions and max(shares) - min(shares) <= 1


class Trial:
    """A consumer group with topics of its own on a broker, and the books of what was done to it.

    Args:
        kafka: a running broker.
        name: of the scenario.
        folder: for logs and state; made new.
        seed: of all random choices.
        session: after how many seconds the group takes a silent worker for dead.
        per_second: at most so many events go in.
    """

    def __init__(
        self,
        kafka: KafkaServer,
        name: str,
        folder: Path,
        seed: int,
        *,
        session: float = SESSION_SECONDS,
        per_second: float = 4_000,
    ) -> None:
        self.kafka = kafka
        self.name = name
        self.random = random.Random(f"{name} {seed}")
        self.folder = folder
        self.losses: list[Loss] = []
        self.workers: list[Worker] = []
        self.done: list[str] = []  # what was done, for the report
        self._gone: set[str] = set()  # workers that were ended
        self.input = f"{name}-{seed}.in"
        self._prefix = f"{name}-{seed}."
        self._session = session
        self._connection = Connection(bootstrap=kafka.bootstrap)
        self._started = time.monotonic()
        self._admin = self._new_admin()
        # No member of the group: it only asks. librdkafka's admin client can ask for offsets, too, but 2.16 ends the
        # process with a segmentation fault while the broker is not, or not yet, the group's coordinator.
        self._meter = Consumer({**self._connection.consumer(f"{self._prefix}app"), "log_level": 0})
        folder.mkdir(parents=True)
        compacted = {"cleanup.policy": "compact"}
        topics = [NewTopic(f"{self._prefix}{one}", PARTITIONS, 1) for one in ("in", "out", "dead")]
        topics += [NewTopic(f"{self._prefix}{one}", PARTITIONS, 1, config=compacted) for one in ("counts", "seen")]
        for created in self._admin.create_topics(topics).values():
            created.result(ADMIN_SECONDS)
        self.load = Load(self._connection, self.input, seed, per_second=per_second)

    def _new_admin(self) -> Any:
        return AdminClient({"bootstrap.servers": self._connection.bootstrap, "log_level": 0})

    # -- what a scenario does

    def start(self, *, folder: str = "state", **environment: str) -> Worker:
        """Start one more worker.

        Args:
            folder: where state folders lie; workers of one such folder find each other's state.
            environment: what differs from the other workers.
        """
        name = f"worker-{len(self.workers) + 1}"
        settings = {
            "CHAOS_PREFIX": self._prefix,
            "CHAOS_PARTITIONS": str(PARTITIONS),
            "CHAOS_BOOTSTRAP": self._connection.bootstrap,
            "CHAOS_FOLDER": str(self.folder / folder),
            "CHAOS_WORKER": name,
            "CHAOS_SESSION_SECONDS": str(self._session),
            "CHAOS_HANGS_SECONDS": "0",
            "CHAOS_BATCH_SECONDS": "0",
            "CHAOS_MAX_POLL_SECONDS": str(MAX_POLL_SECONDS),
            "PYTHONPATH": str(ROOT),
        }
        process = RoleProcess(
            name,
            (),
            folder=self.folder,
            env={**settings, **environment},
            program=(sys.executable, "-m", "bench.chaos.worker"),
        )
        process.start()
        self.workers.append(worker := Worker(process))
        return worker

    def alive(self) -> list[Worker]:
        """Return the workers that run now."""
        return [worker for worker in self.workers if worker.alive]

    def kill(self, worker: Worker) -> None:
        """Kill a worker as a crash would, and note what it may have lost."""
        worker.signal(signal.SIGKILL)
        self.note_death(worker, "kill -9")

    def note_death(self, worker: Worker, what: str) -> None:
        """Wait until a worker is gone and note what it may have lost."""
        self._gone.add(worker.name)
        self.wait_for(lambda: not worker.alive, f"{worker.name} is gone")
        self.note_loss(f"{what} of {worker.name}", worker)

    def note_loss(self, what: str, worker: Worker) -> None:
        """Note that a worker is no longer the owner of what it has in work."""
        self.losses.append(Loss(what, self.committed(), worker.name))

    def revive(self, what: str) -> int:
        """Start a worker for each one that ended by itself, as a supervisor does; return how many."""
        ended = [worker for worker in self.workers if not worker.alive and worker.name not in self._gone]
        for worker in ended:
            self._gone.add(worker.name)
            self.note_loss(f"{what} of {worker.name}", worker)
            self.start()
        return len(ended)

    def stop_in_order(self, worker: Worker) -> float:
        """Stop a worker with SIGTERM; return how many seconds it took. It may lose nothing, so no loss is noted."""
        began = time.monotonic()
        self._gone.add(worker.name)
        worker.process.stop()
        return time.monotonic() - began

    def note(self, text: str) -> None:
        """Tell what was done."""
        self.done.append(text)
        print(f"  {time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def wait_for(self, condition: Callable[[], Any], what: str, *, patience: float = PATIENCE_SECONDS) -> None:
        """Return once a condition holds.

        Raises:
            NotReached: it did not hold in time.
        """
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                ends = "\n".join(f"== {worker.name}\n{worker.process.last_lines()}" for worker in self.alive())
                raise NotReached(f"not within {patience:.0f} s: {what}; {self.state()}\n{ends}")
            time.sleep(LOOK_SECONDS)  # between two looks; the condition decides

    def pause(self, seconds: float) -> None:
        """Let things go on as they are for a while."""
        time.sleep(seconds)  # not for something to come true: what happens at which moment is what is random

    def state(self) -> str:
        """Return in one line how far everything is."""
        alive = ", ".join(worker.name for worker in self.alive()) or "nobody"
        try:
            figures = f"committed {self.committed()} of {self.ends('in')}, told {self.ends('out')}"
        except KafkaException as error:
            figures = str(error)
        return f"{figures}; alive: {alive}"

    def wait_for_progress(self, events: int) -> None:
        """Return once so many more outputs are there, or nothing is left to do."""
        goal = self.told() + events
        self.wait_for(lambda: self.told() >= goal or self.finished(), f"{events} more outputs")

    # -- what there is

    def ends(self, topic: str) -> dict[int, int]:
        """Return where each partition of one of the trial's topics ends."""
        name = f"{self._prefix}{topic}"
        return {one: watermarks(self._meter, TopicPartition(name, one), timeout=ADMIN_SECONDS)[1] for one in ALL}

    def told(self) -> int:
        """Return how many outputs there are."""
        return sum(self.ends("out").values())

    def committed(self) -> dict[int, int]:
        """Return what the group has committed of each partition of the input."""
        homes = [TopicPartition(self.input, one) for one in ALL]
        found = _from_coordinator(lambda: self._meter.committed(homes, timeout=ADMIN_SECONDS))
        return {one.partition: max(0, one.offset) for one in found}

    def finished(self) -> bool:
        """Whether all input so far is committed."""
        # In this order, so that it is never said too early.
        return self.load.settled and self.committed() == self.ends("in")

    def members(self) -> dict[str, tuple[str, set[int]]]:
        """Return the members of the group as the broker knows them: by member id, which worker and its partitions."""

        def ask() -> Any:
            asked = self._admin.describe_consumer_groups([f"{self._prefix}app"])
            try:
                return next(iter(asked.values())).result(DESCRIBE_SECONDS)
            except (KafkaException, TimeoutError):
                self._admin = self._new_admin()  # after a restart of the broker the old one may wait for ever
                raise

        return {
            one.member_id: (
                one.client_id,
                {at.partition for at in one.assignment.topic_partitions if at.topic == self.input},
            )
            for one in _from_coordinator(ask).members
        }

    def owners(self) -> dict[str, set[int]]:
        """Return which partitions of the input each worker of the group has, as the broker knows it."""
        return dict(self.members().values())

    def settled(self, *workers: Worker) -> bool:
        """Whether exactly these workers share the input."""
        return is_shared(self.owners(), {one.name for one in workers}, PARTITIONS)

    # -- the end

    def finish(self) -> Findings:
        """Wait until all input is processed, have every key counted once more, stop, and check everything.

        Raises:
            NotReached: the workers did not come to the end.
            NotAcknowledged: nor did the load.
        """
        self.load.settle()
        self.wait_for(self.finished, "all input is processed")
        self.load.once_for_each_key()
        sent = self.load.settle()
        self.wait_for(self.finished, "the last event of each key is processed")
        self.stop()
        outputs = [_output(record) for record in self.read("out")]
        tables = Tables(*(self._table(self.read(name)) for name in ("counts", "seen")))
        letters = [header_map(record.headers) for record in self.read("dead")]
        return check(
            sent,
            outputs,
            tables,
            set_aside=[(int(one[ERROR_PARTITION]), int(one[ERROR_OFFSET])) for one in letters],
            losses=self.losses,
            effects=applied(outputs),
        )

    def read(self, topic: str) -> list[StoredRecord]:
        """Return all that one of the trial's topics holds."""
        return read_topics(self._connection, [f"{self._prefix}{topic}"])

    def _table(self, changelog: Sequence[StoredRecord]) -> dict[str, Stored]:
        """Return what a changelog comes to: of each key the value with the highest source offset."""
        table: dict[str, Stored] = {}
        for record in changelog:
            positions, value, _ = _entry(record.value or b"")
            key, position = (record.key or b"").decode(), positions[self.input]
            if key not in table or position >= table[key].position:
                table[key] = Stored(value, position)
        return table

    def stop(self) -> None:
        """Stop all workers in order."""
        for worker in self.alive():
            self.stop_in_order(worker)

    def close(self) -> None:
        """End everything that is left, whatever the state it is in."""
        self.load.close()
        for worker in self.alive():
            worker.signal(signal.SIGKILL)
        self._meter.close()


@contextmanager
def trial(kafka: KafkaServer, name: str, folder: Path, seed: int, **settings: float) -> Generator[Trial]:
    """Give out a trial; whatever it started is ended."""
    made = Trial(kafka, name, folder, seed, **settings)
    try:
        yield made
    finally:
        made.close()


def _from_coordinator(ask: Callable[[], T]) -> T:
    """Return what the coordinator of the group answers, once there is one."""
    deadline = time.monotonic() + COORDINATOR_SECONDS
    while True:
        try:
            return ask()
        except (KafkaException, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)  # the brokers are choosing one; nothing tells when it is done


def _output(record: StoredRecord) -> Output:
    return Output((record.key or b"").decode(), record.partition, record.offset, _told(record.value or b""))
