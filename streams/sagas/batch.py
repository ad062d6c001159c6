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
from streams.sagas.effects import Compensate, Sending
from streams.sagas.kinds import Kinds
from streams.sagas.line import Line, Running, Told, Turn, UnknownDefinition

COMPONENT = "sagas"


class Batch:
    """What a batch of records does to the sagas of a partition.

    Args:
        catalogue: the topics.
        kinds: the sagas that run here.
        partition: of the subjects.
        lines: of the subjects.
        ended: the sagas that are over.
        now_ms: milliseconds since 1970.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        kinds: Kinds,
        *,
        partition: int,
        lines: TableView[Line],
        ended: TableView[SagaEntry],
        now_ms: int,
    ) -> None:
        self._catalogue = catalogue
        self._partition = partition
        self._kinds = kinds
        self._lines = lines
        self._ended = ended
        self._now_ms = now_ms
        self._letters: list[Outgoing] = []
        self._told_again: dict[str, SagaEntry] = {}
        self.turns: dict[str, Turn] = {}
        self.inputs: Counter[tuple[str, str]] = Counter()
        self._replies = dict.fromkeys(kinds.reply_topics)
        # Functions, not methods of this object: with those it would hold itself, and all of a batch would lie about
        # until the garbage is collected, in pauses of some 50 ms.
        self._inputs: dict[str, tuple[str, Callable[[Batch, Record], str]]] = {
            catalogue.saga_starts.name: ("start", Batch._start),
            catalogue.saga_receipts.name: ("receipt", Batch._receipt),
            catalogue.saga_commands.name: ("command", Batch._command),
            **dict.fromkeys(kinds.reply_topics, ("reply", Batch._reply)),
        }

    def prefetch(self, records: Sequence[Record]) -> None:
        """Read the lines that records are about at once."""
        self._lines.prefetch({record.key for record in records if record.key})

    def take(self, record: Record) -> None:
        """Take a record; what it is not good for becomes a dead letter."""
        name, take = self._inputs[record.topic]
        try:
            outcome = take(self, record)
        except (InvalidSagaRecord, InvalidReceipt, UnknownDefinition, ValueError) as error:
            outcome = "refused"
            self._letters.append(dead_letter(self._catalogue, record, component=COMPONENT, stage="decide", error=error))
        self.inputs[name, outcome] += 1

    def keep(self) -> None:
        """Have the lines as they are now kept, and what has ended remembered."""
        self._ended.prefetch([entry.id for turn in self.turns.values() for entry in turn.ended])
        for subject, turn in self.turns.items():
            if turn.changed:
                self._lines.put(subject, None if turn.line.empty else turn.line)
            for entry in turn.ended:
                self._ended.put(entry.id, entry)

    def before_commit(self) -> list[Outgoing]:
        """Return what is to be sent before anything is durable: alerts, and dead letters. They may come twice.

        A record that is refused leaves nothing in the state of its subject, but those after it do: by their positions
        it would be taken for one whose effects are there, and nobody would hear of it.
        """
        return [*self._letters, *(self._alert(subject, told) for subject, told in self.alerts())]

    def alerts(self) -> list[tuple[str, Told]]:
        """Return the sagas that somebody is to be told of, each with its subject."""
        return [(subject, told) for subject, turn in self.turns.items() for told in turn.alerts]

    def outputs(self) -> list[Outgoing]:
        """Return what is to be sent, once all is durable."""
        found: list[Outgoing] = []
        for turn in self.turns.values():
            found += [self._sent(running, effect) for running, effect in turn.effects]
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
        if entry is not None and not self.turns[subject].knows(saga_id):  # else its line has not heard of that yet
            self._told_again[saga_id] = entry
        return True

    def turn(self, subject: str) -> Turn:
        """Return what this batch does to a subject's sagas."""
        turn = self.turns.get(subject)
        if turn is None:
            line = self._lines.get(subject) or Line()
            turn = self.turns[subject] = Turn(self._kinds.definition, line, self._now_ms)
        return turn

    def _alert(self, subject: str, told: Told) -> Outgoing:
        at = datetime.fromtimestamp(self._now_ms / 1_000, UTC)
        alert = SagaAlert(id=told.id, definition=told.definition, subject=subject, reason=told.reason, at=at)
        return Outgoing(self._catalogue.saga_alerts.name, told.id.encode(), encode_saga_record(alert))

    def _sent(self, running: Running, effect: Sending) -> Outgoing:
        saga, write = running.saga, effect.write
        headers = saga_headers(saga.id, running.subject)
        if isinstance(write, Request):
            definition = self._kinds.definition(saga.definition)
            if definition is None:  # a turn asks for nothing of a saga whose definition it does not find
                raise UnknownDefinition(saga.definition)
            topic = definition.step(effect.step).request_topic
            return Outgoing(topic, running.subject.encode(), encode_write(write), headers)
        store = store_of(write)
        if isinstance(effect, Compensate):
            topic = self._catalogue.compensations(store).name
        else:
            topic = self._catalogue.write_topics("urgent" if running.urgent else "normal")[store]
        return Outgoing(topic, key_of(write).encode(), encode_write(write), headers)

    def _entry(self, entry: SagaEntry) -> Outgoing:
        # Beside its subject, whatever partition its id has: Kafka's client sends a request for each partition.
        topic = self._catalogue.saga_log.name
        return Outgoing(topic, entry.id.encode(), encode_saga_record(entry), partition=self._partition)


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
