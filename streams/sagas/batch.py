"""What a batch of records does to the sagas of a partition, and what is to be sent for it. It sends nothing itself."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from schemas.receipts import InvalidReceipt, Receipt, decode_receipt
from schemas.sagas import (
    InvalidSagaRecord,
    Reply,
    Request,
    SagaAlert,
    SagaCommand,
    SagaEntry,
    SagaStart,
    decode_saga_record,
    encode_saga_record,
    saga_headers,
    saga_of,
)
from schemas.topics import Catalogue
from schemas.writes import StoreName, encode_write, key_of, store_of
from streams.deadletters import dead_letter
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record
from streams.runtime.tables import TableView
from streams.sagas.effects import Alert, Compensate, Send
from streams.sagas.kinds import Kinds
from streams.sagas.line import Line, Running, Turn, UnknownDefinition

COMPONENT = "sagas"


class Batch:
    """What a batch of records does to the sagas of a partition."""

    def __init__(
        self, catalogue: Catalogue, kinds: Kinds, lines: TableView[Line], ended: TableView[SagaEntry], now_ms: int
    ) -> None:
        self._catalogue = catalogue
        self._kinds = kinds
        self._lines = lines
        self._ended = ended
        self._now_ms = now_ms
        self._letters: list[Outgoing] = []
        self._told_again: dict[str, SagaEntry] = {}
        self.turns: dict[str, Turn] = {}
        self.inputs: Counter[tuple[str, str]] = Counter()
        self._replies = dict.fromkeys(kinds.reply_topics)
        self._inputs: dict[str, tuple[str, Callable[[Record], str]]] = {
            catalogue.saga_starts.name: ("start", self._start),
            catalogue.saga_receipts.name: ("receipt", self._receipt),
            catalogue.saga_commands.name: ("command", self._command),
            **dict.fromkeys(kinds.reply_topics, ("reply", self._reply)),
        }

    def prefetch(self, records: Sequence[Record]) -> None:
        """Read the lines that records are about at once."""
        self._lines.prefetch({record.key for record in records if record.key})

    def take(self, record: Record) -> None:
        """Take a record; what it is not good for becomes a dead letter."""
        name, take = self._inputs[record.topic]
        try:
            outcome = take(record)
        except (InvalidSagaRecord, InvalidReceipt, UnknownDefinition, ValueError) as error:
            outcome = "refused"
            self._letters.append(dead_letter(self._catalogue, record, component=COMPONENT, stage="decide", error=error))
        self.inputs[name, outcome] += 1

    def keep(self) -> None:
        """Have the lines as they are now kept, and what has ended remembered."""
        for subject, turn in self.turns.items():
            if turn.changed:
                self._lines.put(subject, turn.line if turn.line.running is not None else None)
            for entry in turn.ended:
                self._ended.put(entry.id, entry)

    def alerts(self) -> list[Outgoing]:
        """Return who is to be told of what, before it is durable: an alert may come twice, and must come once."""
        return [self._alert(running, alert) for running, alert in self.stuck()]

    def stuck(self) -> list[tuple[Running, Alert]]:
        """Return the sagas that somebody is to be told of, and why."""
        effects = (one for turn in self.turns.values() for one in turn.effects)
        return [(running, effect) for running, effect in effects if isinstance(effect, Alert)]

    def outputs(self) -> list[Outgoing]:
        """Return what is to be sent, once all is durable."""
        found = list(self._letters)
        for turn in self.turns.values():
            found += [self._sent(running, effect) for running, effect in turn.effects if not isinstance(effect, Alert)]
            found += [self._entry(entry) for entry in turn.entries()]
        found += [self._entry(entry) for entry in self._told_again.values()]
        return found

    def _start(self, record: Record) -> str:
        start = decode_saga_record(record.value, SagaStart)
        if (record.key or b"") != start.subject.encode():
            raise InvalidSagaRecord("Expected the key of the record to be `subject`")
        if self._replayed(record, start.subject, start.id):
            return "replayed"
        turn = self.turn(start.subject)
        if turn.knows(start.id):
            return "repeated"
        if self._ended.get(start.id) is not None:
            return "late"
        turn.start(start)
        self._lines.put(start.subject, turn.line, record)
        return "taken"

    def _receipt(self, record: Record) -> str:
        return self._heard(record, decode_receipt)

    def _reply(self, record: Record) -> str:
        return self._heard(record, _receipt_of)

    def _heard(self, record: Record, read: Callable[[bytes], Receipt]) -> str:
        saga = saga_of(record.headers)
        if saga is None:
            raise InvalidSagaRecord("Expected the headers that its write had, which name the saga and its subject")
        saga_id, subject = saga[0].decode(), saga[1].decode()
        if self._replayed(record, subject, saga_id):
            return "replayed"
        turn = self.turn(subject)
        running = turn.line.running
        if running is None or running.saga.id != saga_id:
            return "late" if turn.knows(saga_id) or self._ended.get(saga_id) is not None else "unknown"
        if not turn.hear(read(record.value or b"")):
            return "repeated"
        self._lines.put(subject, turn.line, record)
        return "taken"

    def _command(self, record: Record) -> str:
        command = decode_saga_record(record.value, SagaCommand)
        if self._replayed(record, command.subject, command.id):
            return "replayed"
        turn = self.turn(command.subject)
        if not turn.knows(command.id):
            return "late" if self._ended.get(command.id) is not None else "unknown"
        turn.command(command)
        self._lines.put(command.subject, turn.line, record)
        return "taken"

    def _replayed(self, record: Record, subject: str, saga_id: str) -> bool:
        """Whether state has a record's effect already; then what it led to is asked for again."""
        if self._lines.position(subject, record.topic) < record.offset:
            return False
        if subject not in self.turns:
            self.turn(subject).again()
        entry = self._ended.get(saga_id)
        if entry is not None:
            self._told_again[saga_id] = entry
        return True

    def turn(self, subject: str) -> Turn:
        """Return what this batch does to a subject's sagas."""
        turn = self.turns.get(subject)
        if turn is None:
            line = self._lines.get(subject) or Line()
            turn = self.turns[subject] = Turn(self._kinds.definition, line, self._now_ms)
        return turn

    def _alert(self, running: Running, alert: Alert) -> Outgoing:
        saga = running.saga
        told = SagaAlert(
            id=saga.id,
            definition=saga.definition,
            subject=running.subject,
            reason=alert.reason,
            at=datetime.fromtimestamp(self._now_ms / 1_000, UTC),
        )
        return Outgoing(self._catalogue.saga_alerts.name, saga.id.encode(), encode_saga_record(told))

    def _sent(self, running: Running, effect: Send | Compensate) -> Outgoing:
        saga, write = running.saga, effect.write
        headers = saga_headers(saga.id, running.subject)
        if isinstance(write, Request):
            definition = self._kinds.definition(saga.definition)
            assert definition is not None
            topic = definition.step(effect.step).request_topic
            return Outgoing(topic, running.subject.encode(), encode_write(write), headers)
        store = store_of(write)
        if isinstance(effect, Compensate):
            topic = self._catalogue.compensations(store).name
        else:
            topic = self._catalogue.write_topics("urgent" if running.urgent else "normal")[store]
        return Outgoing(topic, key_of(write).encode(), encode_write(write), headers)

    def _entry(self, entry: SagaEntry) -> Outgoing:
        return Outgoing(self._catalogue.saga_log.name, entry.id.encode(), encode_saga_record(entry))


def _receipt_of(data: bytes) -> Receipt:
    """Return an outside participant's answer as a receipt."""
    reply = decode_saga_record(data, Reply)
    return Receipt(
        store=cast(StoreName, "outside"),  # the machine compares it with whom the step asked
        entity=reply.entity,
        version=reply.version,
        source="",
        event_id="",
        result=reply.result,
        at=datetime.now(UTC),
        reason=reply.reason,
    )
