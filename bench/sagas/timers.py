"""How late timers fire while 10,000 sagas wait: from when a write is due again until it is handed to a producer.

Nobody answers, so every saga stays open with its timers pending. When a write was due says the log of sagas, when it
went out the timestamp of its record.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.report import Figure
from bench.runtime.timeline import percentile
from bench.sagas.declared import PATIENT, STORES, THREE_PATIENT, saga
from bench.sagas.stand import NotReached, Stand
from connectors.kafka.reading import StoredRecord, records_in
from schemas.sagas import SagaEntry, decode_saga_record, saga_of

PENDING = 10_000
PER_SECOND = 500  # begin, and so are due, where they are spread
FIRST_ONES = 20
LATE_MS = 1_000  # the bar of the latest of those

Sent = tuple[str, str]  # a saga's id, and the store that a write of it goes to


def timers(bootstrap: str, folder: Path, count: int = PENDING) -> list[Figure]:
    """Have so many sagas wait, begun at a steady rate and all at once, and tell how late their writes go out again."""
    return [
        *_measured(bootstrap, folder / "spread", count, PER_SECOND, f"spread at {PER_SECOND}/s", LATE_MS),
        *_measured(bootstrap, folder / "together", count, None, "begun at once", None),
    ]


def late_ms(due: Mapping[Sent, int], sent: Mapping[Sent, Iterable[int]]) -> list[int]:
    """Return how long after it was due each write went out for the second time.

    Raises:
        NotReached: one never did, or before it was due.
    """
    found: list[int] = []
    for write, due_ms in due.items():
        times = sorted(sent.get(write, ()))
        if len(times) < 2:
            raise NotReached(f"{write} was not sent again")
        if times[1] < due_ms:
            raise NotReached(f"{write} was sent again {due_ms - times[1]} ms before it was due")
        found.append(times[1] - due_ms)
    return found


def _measured(
    bootstrap: str, folder: Path, count: int, rate: float | None, named: str, bar: float | None
) -> list[Figure]:
    stand = Stand(bootstrap, f"timers-{folder.name}.", folder, shape=THREE_PATIENT)
    begun = [saga(number, 1_000, shape=THREE_PATIENT) for number in range(count)]
    try:
        stand.start("sagas")
        # The first ones tell that the worker runs; only what begins then is measured.
        stand.publish(saga(number, 1_000, shape=THREE_PATIENT) for number in range(count, count + FIRST_ONES))
        stand.wait_for(lambda: len(stand.entries()) == FIRST_ONES, "the worker runs", 120)
        began = time.monotonic()

        def pace(number: int) -> None:
            if rate is not None and (left := began + number / rate - time.monotonic()) > 0:
                time.sleep(left)  # this is the pace

        stand.publish(begun, pace=pace)
        # Nothing is looked at before all are due: that would take from what is measured.
        writes = (count + FIRST_ONES) * len(STORES)
        over = time.monotonic() + PATIENT.first_ms / 1_000
        stand.wait_for(
            lambda: time.monotonic() > over and stand.undelivered() >= 2 * writes,
            "all is sent again",
            PATIENT.first_ms / 1_000 + 60,
        )
        ids = {one.id for one in begun}
        first = {entry.id: entry for entry in _entries(stand) if entry.id in ids}
        due = _due(first.values())
        late = late_ms(due, _sent(stand, ids))
    finally:
        stand.stop()
    soonest, last = min(due.values()), max(due.values())
    name = f"timers of {count:,} sagas, {named}"
    return [
        Figure(
            name=f"{name}, pending when the first was due",
            value=sum(entry.began_ms <= soonest for entry in first.values()),
            unit="",
            bar=count,
        ),
        Figure(name=f"{name}, due within", value=(last - soonest) / 1_000, unit="s"),
        Figure(
            name=f"{name}, sent after they were due, p99", value=percentile(list(map(float, late)), 0.99), unit="ms"
        ),
        Figure(
            name=f"{name}, the latest",
            value=max(late),
            unit="ms",
            bar=bar,
            lower_is_better=True,
        ),
    ]


def _entries(stand: Stand) -> Iterable[SagaEntry]:
    """Yield what was told first of each saga, last: so it stays where entries are kept by id."""
    records = sorted(records_in(stand.connection, [stand.catalogue.saga_log.name]), key=_place, reverse=True)
    return (decode_saga_record(record.value, SagaEntry) for record in records)


def _place(record: StoredRecord) -> tuple[int, int]:
    return record.partition, record.offset


def _due(first: Iterable[SagaEntry]) -> Mapping[Sent, int]:
    return {(entry.id, step.store): step.due_ms or 0 for entry in first for step in entry.steps}


def _sent(stand: Stand, ids: set[str]) -> Mapping[Sent, list[int]]:
    stores = {stand.catalogue.writes(store).name: store for store in STORES}
    times: dict[Sent, list[int]] = defaultdict(list)
    for record in records_in(stand.connection, stores):
        found = saga_of(record.headers)
        if found is not None and (saga_id := found[0].decode()) in ids:
            times[saga_id, stores[record.topic]].append(record.timestamp)
    return times
