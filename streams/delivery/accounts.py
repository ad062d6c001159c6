"""What became of writes, told to Kafka: a receipt for each, and a dead letter for those that were rejected."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import structlog

from schemas.receipts import Receipt, Result, encode_receipt
from schemas.sagas import SAGA, SAGA_SUBJECT, saga_of
from schemas.topics import Catalogue
from schemas.writes import BaseWrite, StoreName, Write
from streams.deadletters import dead_letter, publish_with_letters
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.queue import Item, Parcel
from streams.runtime.publisher import Outgoing, Publisher, TryAgain
from streams.runtime.records import Record

log = structlog.get_logger(__name__)


class Accounts:
    """Accounts for the writes of one store: what is settled here is in Kafka before its run is finished."""

    def __init__(self, store: StoreName, publisher: Publisher, catalogue: Catalogue, policy: DeliveryPolicy) -> None:
        self.store: StoreName = store
        self._publisher = publisher
        self._catalogue = catalogue
        self._policy = policy

    def ended(self, item: Item, at: datetime, result: Result, error: Exception | None = None) -> list[Outgoing]:
        """Return what is told of a write that ended at a time; `error` says why it was rejected.

        Of a write of a saga, its coordinator is told as well, and alone of what undoes it.
        """
        reason = None if error is None else str(error)
        undo = None if item.undo_told else item.undo
        if (saga := saga_of(item.record.headers)) is None:
            told = [self._receipt(item, at, result, reason, undo)]
        else:
            receipt = self._receipt(item, at, result, reason)
            whole = receipt if undo is None else self._receipt(item, at, result, reason, undo)
            told = [receipt, self._to_saga(whole, *saga)]
        if error is None:
            return told
        letter = self._letter(item.record, "write", error, attempts=item.attempts, first_failed_at=item.first_failed_at)
        return [letter, *told]

    def captured(self, item: Item) -> Outgoing:
        """Return what is told of a write before the store is asked to take it: what would undo it.

        Of a write of a saga only its coordinator is told: this may be large, and is of no use to others.
        """
        receipt = self._receipt(item, datetime.now(UTC), "captured", undo=item.undo)
        saga = saga_of(item.record.headers)
        return receipt if saga is None else self._to_saga(receipt, *saga)

    def unreadable(self, record: Record, error: Exception) -> Outgoing:
        """Return the dead letter of a record that is no write of this store."""
        return self._letter(record, "decode", error)

    def deferred(self, record: Record) -> Outgoing:
        """Return a record as it goes to the topic of writes that were put off."""
        return Outgoing(self._catalogue.deferred(self.store).name, record.key, record.value, record.headers)

    async def settle(self, records: Sequence[Outgoing], ended: Sequence[Parcel]) -> None:
        """Publish records, however often it takes, and then settle one write of each of the parcels."""
        attempt = 0
        while True:
            try:
                await publish_with_letters(self._publisher, self._catalogue, records)
                break
            except TryAgain as error:
                attempt += 1
                pause = self._policy.pause(attempt)
                log.warning("receipts_retried", store=self.store, attempt=attempt, error=str(error))
                await asyncio.sleep(pause)
        for parcel in ended:
            parcel.settle()

    def _receipt(
        self, item: Item, at: datetime, result: Result, reason: str | None = None, undo: BaseWrite | None = None
    ) -> Outgoing:
        write = item.write
        receipt = Receipt(
            store=self.store,
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            result=result,
            at=at,
            reason=reason,
            undo=cast("Write | None", undo),
            undo_unknown=item.undo_unknown,
        )
        return Outgoing(self._catalogue.receipts.name, write.entity.encode(), encode_receipt(receipt))

    def _to_saga(self, receipt: Outgoing, saga: bytes, subject: bytes) -> Outgoing:
        headers = ((SAGA, saga), (SAGA_SUBJECT, subject))
        return Outgoing(self._catalogue.saga_receipts.name, subject, receipt.value, headers)

    def _letter(
        self,
        record: Record,
        stage: str,
        error: Exception,
        *,
        attempts: int = 1,
        first_failed_at: datetime | None = None,
    ) -> Outgoing:
        return dead_letter(
            self._catalogue,
            record,
            component=f"deliver.{self.store}",
            stage=stage,
            error=error,
            attempts=attempts,
            first_failed_at=first_failed_at,
            store=self.store,
        )
