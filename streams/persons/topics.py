"""Find what the plane has written about a person, in the topics that writes have gone through.

Complete for as long as those topics are kept; what is older, the stores themselves are asked for (`stores`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

import structlog

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, records_in
from schemas.receipts import InvalidReceipt, decode_receipt
from schemas.sagas import InvalidSagaRecord, Request, SagaStart, decode_saga_record
from schemas.topics import Catalogue
from schemas.writes import STORES, InvalidWrite, Write, decode_write
from streams.persons.holdings import Holdings
from streams.redrive import read_letters

log = structlog.get_logger(__name__)


def found_in_topics(connection: Connection, catalogue: Catalogue, holdings: Holdings) -> None:
    """Take every write into holdings that Kafka still has: sent, put off, refused, of sagas, and what undoes those.

    Raises:
        KafkaException: the brokers do not answer.
    """
    sources = writes_of(catalogue)
    for record in records_in(connection, sources):
        try:
            holdings.take_all(sources[record.topic](record))
        except (InvalidWrite, InvalidSagaRecord, InvalidReceipt) as error:
            log.warning("write_not_readable", topic=record.topic, offset=record.offset, error=str(error))


def writes_of(catalogue: Catalogue) -> Mapping[str, Callable[[StoredRecord], Iterator[Write]]]:
    """Return what yields the writes in a record, by the topics that writes go through.

    It raises `InvalidWrite`, `InvalidSagaRecord` or `InvalidReceipt` for a record that is none.
    """
    writes = [topic.name for topic, _, _ in catalogue.all_writes()]
    beside = [topic.name for store in STORES for topic in (catalogue.deferred(store), catalogue.compensations(store))]
    sources: dict[str, Callable[[StoredRecord], Iterator[Write]]] = {
        **dict.fromkeys([*writes, *beside], _of_write),
        catalogue.saga_starts.name: _of_start,
        catalogue.saga_receipts.name: _of_receipt,
    }
    # A letter is kept longer than the topic it comes from, and may be sent again.
    return {**sources, catalogue.dead_letters.name: partial(_of_letter, sources)}


def _of_letter(
    sources: Mapping[str, Callable[[StoredRecord], Iterator[Write]]], record: StoredRecord
) -> Iterator[Write]:
    for letter in read_letters([record]):
        if letter.topic in sources:
            # Most were refused because they cannot be read: sent again, they come to nothing.
            with suppress(InvalidWrite, InvalidSagaRecord, InvalidReceipt):
                yield from sources[letter.topic](record)


def _of_write(record: StoredRecord) -> Iterator[Write]:
    yield decode_write(record.value or b"")


def _of_start(record: StoredRecord) -> Iterator[Write]:
    for write in decode_saga_record(record.value, SagaStart).writes.values():
        if not isinstance(write, Request):
            yield write


def _of_receipt(record: StoredRecord) -> Iterator[Write]:
    undo = decode_receipt(record.value or b"").undo
    if undo is not None:
        yield undo
