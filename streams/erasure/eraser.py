"""Does the steps of an erasure. Each may be done again at any time, and comes to the same."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct, json

from connectors.kafka.connection import Connection
from connectors.kafka.errors import error_of
from connectors.keys import UserKeys
from connectors.producers import EventProducer, ProducerError
from connectors.sinks.errors import SinkError
from connectors.storage import Storage
from schemas.erasures import Certificate, Erasure, ErasureEnd, ErasureStep, encode_erasure_record
from schemas.topics import Catalogue
from schemas.writes import StoreName, encode_write, key_of, store_of
from streams.erasure.archived import ArchivedRecords
from streams.erasure.certificate import certify, statement_of
from streams.erasure.deletes import deletes_of
from streams.erasure.hold import Policy
from streams.erasure.machine import (
    Answered,
    Came,
    Certified,
    Deleted,
    Failed,
    Forgotten,
    KeyDestroyed,
    Purged,
    Released,
    Unarchived,
)
from streams.erasure.refusals import Refusals
from streams.erasure.stores import Stores
from streams.erasure.traces import claimed_by, compacted_of, remains_of
from streams.persons.holdings import Holdings
from streams.persons.topics import found_in_topics
from streams.routing.entities import write_version
from streams.runtime.faults import ErasurePoint, FaultPoints

SOURCE = "/travelos/erasure"
NO_KEYS = "there are none: sensitive fields are not sealed here"
DESTROYED = "destroyed"

Record = tuple[str, bytes, bytes | None]  # topic, key, value


class Parts(Struct, frozen=True, kw_only=True):
    """What an erasure works with.

    Attributes:
        connection: how to reach Kafka.
        catalogue: its topics.
        stores: those that hold what is to be erased.
        large_values: the storage of large events, not open.
        keys: of users; None: there are none.
        policy: for new events of who was erased.
        rewrite: whether stores rewrite their files.
        signing_key: of certificates.
        certificates: the folder of certificates.
        archived: whether an archive stays as it is.
        archive: what is taken out of the archive; None: it is left as it is.
        faults: where the process is to be killed, in tests.
    """

    connection: Connection
    catalogue: Catalogue
    stores: Stores
    large_values: Storage
    keys: UserKeys | None
    policy: Policy
    rewrite: bool
    signing_key: Ed25519PrivateKey
    certificates: Path
    archived: bool
    archive: ArchivedRecords | None = None
    faults: FaultPoints = FaultPoints()


class _Found(NamedTuple):
    """What was found of a person, and what the stores refused to delete of it."""

    holdings: Holdings
    refusals: Refusals


class Eraser:
    """Does one step of an erasure at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._found: dict[str, _Found] = {}  # by erasure; what is lost with the process is looked for again
        self._steps: dict[ErasureStep, Callable[[Erasure], Came]] = {
            "delete": self._delete,
            "ask": self._ask,
            "forget": self._forget,
            "archive": self._unarchive,
            "purge": self._purge,
            "destroy_key": self._destroy_key,
            "certify": self._certify,
            "release": self._release,
        }

    def step(self, erasure: Erasure) -> Came:
        """Do the next step, and return what it came to; `Failed` when something that it needs is away or refuses."""
        try:
            return self._steps[erasure.step](erasure)
        except KafkaException as error:
            return Failed(f"kafka.bootstrap: {error_of(error).str()}")
        except (SinkError, ProducerError) as error:
            return Failed(str(error))
        except OSError as error:
            return Failed(f"{error.filename}: {error.strerror}")

    def close(self) -> None:
        """Let go of users' keys; may be called twice."""
        if self._parts.keys is not None:
            self._parts.keys.close()

    def send(self, records: Iterable[Record]) -> None:
        """Publish records, and return when the brokers have them.

        Raises:
            ProducerError: they have not taken all of them.
        """
        with EventProducer(self._parts.connection, self._parts.catalogue, source=SOURCE) as producer:
            for topic, key, value in records:
                producer.publish_raw(topic, key, value)

    def _killable(self, records: Iterable[Record], point: ErasurePoint) -> Iterator[Record]:
        for record in records:
            yield record
            self._parts.faults.reach(point)

    def _look(self, erasure: Erasure) -> _Found:
        parts = self._parts
        holdings = Holdings(erasure.user_id, own=erasure.id)
        found_in_topics(parts.connection, parts.catalogue, holdings)
        parts.stores.search(holdings)
        found = _Found(holdings, Refusals(parts.connection, parts.catalogue, erasure.id))
        self._found = {erasure.id: found}  # of one at a time: a person may have a million points
        return found

    def _delete(self, erasure: Erasure) -> Came:
        writes = deletes_of(erasure, self._look(erasure).holdings.all())
        topics = self._parts.catalogue.write_topics()
        deletes = ((topics[store_of(write)], key_of(write).encode(), encode_write(write)) for write in writes)
        self.send(self._killable(deletes, "between-deletes"))
        counts = Counter[StoreName](store_of(write) for write in writes)
        highest = max((write.version for write in writes), default=write_version(erasure.version))
        return Deleted(counts, highest, self._parts.archive.ends() if self._parts.archive is not None else {})

    def _ask(self, erasure: Erasure) -> Came:
        found = self._found.get(erasure.id) or self._look(erasure)
        return Answered(self._parts.stores.ask(found.holdings, found.refusals.look))

    def _forget(self, erasure: Erasure) -> Came:
        parts = self._parts
        self._found.pop(erasure.id, None)
        keys = compacted_of(parts.connection, parts.catalogue, erasure.user_id)
        self.send(self._killable(((topic, key, None) for topic, key in keys.alive), "between-tombstones"))
        # What is newer goes nowhere by the policy `refuse`: nobody would ever ask for its object.
        large = claimed_by(parts.connection, parts.catalogue, erasure, newer=parts.policy == "refuse")
        if large:
            try:
                parts.large_values.open()
                parts.large_values.remove(large)
            finally:
                parts.large_values.close()
        return Forgotten(Counter(topic for topic, _ in keys.all), len(large))

    def _unarchive(self, erasure: Erasure) -> Came:
        archive = self._parts.archive
        if archive is None:
            return Unarchived(None)
        found = partial(self._parts.faults.reach, "between-objects")
        return Unarchived(archive.remove(erasure.user_id, erasure.ends, on_found=found))

    def _purge(self, erasure: Erasure) -> Came:  # noqa: ARG002 - files are rewritten as a whole
        if not self._parts.rewrite:
            return Purged({})
        return Purged(self._parts.stores.purge(partial(self._parts.faults.reach, "between-purges")))

    def _destroy_key(self, erasure: Erasure) -> Came:
        if self._parts.keys is None:
            return KeyDestroyed(NO_KEYS)
        self._parts.keys.destroy([erasure.user_id])
        return KeyDestroyed(DESTROYED)

    def _certify(self, erasure: Erasure) -> Came:
        parts = self._parts
        assert erasure.certified_at is not None
        remains = remains_of(parts.catalogue, erasure.certified_at, archived=parts.archived)
        certificate = certify(statement_of(erasure, parts.policy, remains), parts.signing_key)
        write_certificate(parts.certificates, certificate)
        parts.faults.reach("before-certificate")
        self.send([(parts.catalogue.erasures.name, erasure.id.encode(), encode_erasure_record(certificate))])
        return Certified()

    def _release(self, erasure: Erasure) -> Came:
        parts = self._parts
        if parts.keys is not None and parts.policy == "afresh":
            parts.keys.start_afresh([erasure.user_id])
        parts.faults.reach("before-end")
        end = ErasureEnd(id=erasure.id, user_id=erasure.user_id, version=erasure.version, highest=erasure.highest)
        self.send([(parts.catalogue.erasure_ends.name, erasure.user_id.encode(), encode_erasure_record(end))])
        return Released()


def file_of(erasure_id: str) -> str:
    """Return the name of the file of a certificate, another one for each id."""
    digest = hashlib.sha256(erasure_id.encode()).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', erasure_id)[:64]}-{digest}.json"


def write_certificate(folder: Path, certificate: Certificate) -> Path:
    """Write a certificate, whole or not at all, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_of(certificate.statement.id)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(json.format(encode_erasure_record(certificate)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path
