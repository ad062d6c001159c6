# pyright: reportUnknownMemberType=false
"""How fast one process publishes typed events to a real Kafka, beside a peer that sends dicts.

python -m bench.producer [--events N] [--rounds N]

Both run in processes of their own, one after the other, on the same broker, which takes its share of the same cores.
Building the events is part of the time on both sides, and so is the last acknowledgement.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import confluent_kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.report import ROOT, Figure, finish, median_ratio
from bench.typed_events import fix
from connectors.producers.records import EventRecords
from deploy.local.kafka import KafkaServer
from deploy.local.kafka.server import VERSION as KAFKA_VERSION
from schemas.clock import HybridClock
from schemas.topics import Catalogue

EVENTS_PER_SECOND = 100_000
OF_THE_PEER = 0.8
GIVEN_PEER = ROOT.parent / "shared" / "peers" / "fill.py"  # the peer as it was given, where it lies beside the tree


def main() -> int:
    """Run the rounds and report; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Typed events to Kafka, beside a peer that sends dicts.")
    parser.add_argument("--events", type=int, default=300_000, help="events in each run")
    parser.add_argument("--rounds", type=int, default=11, help="pairs of runs; the median counts")
    given = parser.parse_args()
    typed, peer = measure(given.events, given.rounds)
    figures = [
        Figure(name="typed events", value=statistics.median(typed), unit="events/s", bar=EVENTS_PER_SECOND),
        Figure(name="peer, dicts", value=statistics.median(peer), unit="events/s"),
        Figure(name="typed events / peer", value=median_ratio(typed, peer), unit="", bar=OF_THE_PEER),
    ]
    record = EventRecords(Catalogue(), "/bench", HybridClock()).record(fix(0))
    setup = {
        "events": given.events,
        "bytes_of_an_event": len(record[2] or b""),
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "peer": "shared/peers/fill.py" if GIVEN_PEER.exists() else "bench/peers/dict_producer.py",
    }
    return finish("producer", figures, setup=setup, rounds={"typed": typed, "peer": peer})


def measure(events: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return events/s of our producer and of the peer, one of each for every round; a warm-up pair is left out."""
    typed: list[float] = []
    peer: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-producer-") as folder:
        kafka = KafkaServer(Path(folder))
        kafka.start()
        try:
            broker = _Broker(kafka.bootstrap)
            for number in range(rounds + 1):
                peer.append(_run_peer(broker, f"peer-{number}", events))
                typed.append(_run_typed(broker, f"typed-{number}.", events))
                print(f"round {number}: typed {typed[-1]:,.0f}/s, peer {peer[-1]:,.0f}/s", flush=True)
        finally:
            kafka.stop()
    return typed[1:], peer[1:]


class _Broker:
    """The topics of the benchmark; each run gets a fresh one."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, topic: str) -> None:
        self._admin.create_topics([NewTopic(topic, 4, 1)])[topic].result()

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result()


def _run_typed(broker: _Broker, prefix: str, events: int) -> float:
    topic = Catalogue(prefix=prefix).gps_events.name
    broker.create(topic)
    rate = _rate(["-m", "bench.typed_events", prefix, str(events), broker.bootstrap])
    broker.delete(topic)
    return rate


def _run_peer(broker: _Broker, topic: str, events: int) -> float:
    if GIVEN_PEER.exists():  # it makes its topic itself
        rate = _rate([str(GIVEN_PEER), topic, str(events), broker.bootstrap])
    else:
        broker.create(topic)
        rate = _rate(["-m", "bench.peers.dict_producer", topic, str(events), broker.bootstrap])
    broker.delete(topic)
    return rate


def _rate(arguments: list[str]) -> float:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) events/s", done.stdout)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return float(found.group(1))


if __name__ == "__main__":
    raise SystemExit(main())
