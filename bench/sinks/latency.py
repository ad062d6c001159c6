"""How long a write takes from Kafka into each store, at a steady rate that is well below what the store could take.

From the record's timestamp, which the producer gives it, to the time of its receipt, which the worker makes when the
store has acknowledged the batch. What these stores have acknowledged, their next reader sees; only Elasticsearch shows
it at its next refresh. Needs the whole way: a broker, a worker process, a server.

Peer: a consumer written by hand (`by_hand`), after it on the same broker and server, with the same load.
"""

import statistics
import time
from collections.abc import Sequence

from bench.sinks.by_hand import ByHand
from bench.sinks.measured import Bench
from bench.stores.delivered import Delivered
from bench.stores.servers import KINDS, environment, prepare
from connectors.kafka.reading import read_topics
from deploy.local.jvm import JvmServer
from deploy.local.kafka import KafkaServer
from schemas.receipts import decode_receipt
from schemas.writes import StoreName, decode_write

RATE = 1_000
SLOWER = {"s3": 500}  # at 800 a second both wait for the two cores: 0.2 to 0.8 s at the median, by hand 0.5 to 2.5
TICK_SECONDS = 0.01
WARM_SECONDS = 60.0  # a JVM compiles what it has done often: Neo4j's p99 was 632 ms behind 30 s, 225 behind 90
PEER_WARM_SECONDS = 30.0  # behind ours, so on a server that is warm but for the peer's statements
P50_MS, P99_MS = 50, 200


def measure(bench: Bench, names: list[str]) -> None:
    """Add p50 and p99 of each store."""
    kafka = KafkaServer(bench.folder / "kafka-latency", steady=True)
    kafka.start()
    try:
        for name in names:
            _measure(bench, kafka, name)
    finally:
        kafka.delete()
    bench.setup["latency_seconds"] = bench.options.latency_seconds


def _measure(bench: Bench, kafka: KafkaServer, name: str) -> None:
    kind = KINDS[name]
    server = kind.make(bench.folder / f"latency-{name}")
    if isinstance(server, JvmServer):
        server.steady = True
    server.start()
    try:
        prepare(server)
        where = environment(name, server)
        folder = bench.folder / f"latency-{name}-worker"
        with Delivered(
            kind.store, kafka.bootstrap, f"latency-{name}.", folder, through=where, directly=where, entities=100_000
        ) as delivered:
            delivered.send(100)
            delivered.settle()
            rate = SLOWER.get(name, RATE)
            _send(delivered, rate, WARM_SECONDS)
            delivered.settle()  # what a server that was not warm was behind with is not a matter of this rate
            since = time.time()
            _send(delivered, rate, bench.options.latency_seconds)
            delivered.settle()
            ours = _milliseconds(delivered, kind.store, since)
        with ByHand(delivered, kafka.bootstrap, folder, where) as peer:
            sent = _send(delivered, rate, PEER_WARM_SECONDS)
            peer.settle(sent)
            since = time.time()
            sent += _send(delivered, rate, bench.options.latency_seconds)
            peer.settle(sent)
            by_hand = peer.taken(since)
    finally:
        server.delete()
    bars = {"p50": P50_MS, "p99": P99_MS}
    for label, one, theirs in zip(
        bars, _noted(bench, name, ours), _noted(bench, f"{name} by hand", by_hand), strict=True
    ):
        told = f"{name}: Kafka to store at {rate:,}/s, {label}"
        bench.add(told, one, "ms", bars[label], lower_is_better=True)
        bench.add(f"{told}, by hand", theirs, "ms", lower_is_better=True)


def _noted(bench: Bench, name: str, taken: Sequence[float]) -> tuple[float, float]:
    """Note a measurement; return p50 and p99."""
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    bench.note(f"latency {name}", writes=len(taken), p50=cuts[49], p99=cuts[98], most=max(taken))
    return cuts[49], cuts[98]


def _send(delivered: Delivered, rate: float, seconds: float) -> int:
    """Send at a steady rate; what a slow tick has missed, the next one makes up for. Return how many."""
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate)
        delivered.produce(delivered.next() for _ in range(due - sent))
        sent = due
        time.sleep(TICK_SECONDS)  # this is the pace
    return sent


def _milliseconds(delivered: Delivered, store: StoreName, since: float) -> list[float]:
    """Return what each write took, of those sent since a time; of the receipts of a repeated one the first counts."""
    sent: dict[tuple[str, int], int] = {}
    for record in read_topics(delivered.connection, [delivered.catalogue.writes(store).name]):
        write = decode_write(record.value or b"")
        if record.timestamp >= since * 1_000:
            sent.setdefault((write.entity, write.version), record.timestamp)
    ended: dict[tuple[str, int], float] = {}
    for record in read_topics(delivered.connection, [delivered.catalogue.receipts.name]):
        receipt = decode_receipt(record.value or b"")
        at, identity = receipt.at.timestamp() * 1_000, (receipt.entity, receipt.version)
        if identity in sent and at >= sent[identity]:
            ended[identity] = min(at, ended.get(identity, at))
    return [at - sent[identity] for identity, at in ended.items()]
