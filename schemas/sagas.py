"""What travels between those that begin a saga, its coordinator, operators, and whoever watches."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from schemas.fields import Timestamp, Version
from schemas.headers import Headers
from schemas.reasons import shortened
from schemas.writes import BaseWrite, StoreName, Write

T = TypeVar("T")

Action = Literal["retry", "abort", "resume"]
# waiting: an earlier saga of the same subject is not over yet.
Status = Literal["waiting", "started", "completed", "compensating", "compensated", "stuck"]
ENDED: frozenset[Status] = frozenset({"completed", "compensated"})

SAGA = "saga"  # header of a saga's writes and of their receipts: its id
SAGA_SUBJECT = "saga_subject"  # the same: what the saga is about, the key of all that its coordinator reads


class Request(BaseWrite, frozen=True, tag="outside"):
    """What is asked of an outside participant. An op of "delete" takes back what was asked before, if it was."""

    body: Any = None


SagaWrite = Write | Request
Participant = StoreName | Literal["outside"]


class SagaStart(Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """A fact whose writes are to hold in all of their stores or in none.

    Attributes:
        id: unique, and the same whenever the same fact is told again.
        definition: name of the kind of saga.
        subject: the entity it is about; its sagas run one after the other.
        version: of the fact; they run in this order.
        event_id: the fact.
        writes: by the name of their step.
        urgent: whether its writes go to the urgent lanes.
    """

    id: str
    definition: str
    subject: str
    version: Version
    event_id: str
    writes: dict[str, SagaWrite]
    urgent: bool = False


class SagaCommand(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an operator asks of a saga."""

    id: str
    subject: str
    action: Action
    by: str
    at: Timestamp
    why: str = ""


class SagaAlert(Struct, kw_only=True, frozen=True):
    """A saga does not get on by itself; somebody has to look at it."""

    id: str
    definition: str
    subject: str
    reason: str
    at: Timestamp


class Moment(Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that happened to a saga.

    Attributes:
        at_ms: when the coordinator learnt of it, in milliseconds since 1970.
        what: began, sent, compensation sent, a result of a receipt (behind "compensation" where it is of one), turned
            back, alert, the name of a command, or the status in which it ended.
        step: which one it concerns; "" for the whole saga.
        detail: the reason, the attempt, who gave the command.
    """

    at_ms: int
    what: str
    step: str = ""
    detail: str = ""


class StepEntry(Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """One step in the log of sagas: what it is about, and how far it is. Its content is not told."""

    name: str
    store: str
    entity: str
    version: Version
    op: str
    status: str
    attempts: int = 0
    due_ms: int | None = None
    undo: str | None = None  # the op that takes it back, when the store has told
    reason: str | None = None


class SagaEntry(Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """What is told of a saga in the log of sagas: the last record of an id holds. Times are milliseconds since 1970."""

    id: str
    definition: str
    subject: str
    version: Version
    event_id: str
    status: Status
    began_ms: int
    at_ms: int
    steps: list[StepEntry] = []
    history: list[Moment] = []
    stuck: str | None = None
    due_ms: int | None = None


class Reply(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an outside participant answers: `entity` and `version` are those of the request."""

    entity: str
    version: Version
    result: Literal["applied", "rejected"]
    reason: str | None = None


class InvalidSagaRecord(ValueError):  # noqa: N818 - see InvalidEvent
    """Bytes that are not what they should be; the message names the field."""


encode_saga_record = msgspec.json.Encoder().encode
_decoders: Mapping[type[Struct], msgspec.json.Decoder[Struct]] = {
    kind: msgspec.json.Decoder(kind) for kind in (SagaStart, SagaCommand, SagaAlert, SagaEntry, Reply)
}


def decode_saga_record(data: bytes | None, kind: type[T]) -> T:
    """Read a `SagaStart`, `SagaCommand`, `SagaAlert`, `SagaEntry` or `Reply`.

    Raises:
        InvalidSagaRecord: whatever the bytes are, nothing else is raised.
    """
    try:
        return _decoders[kind].decode(data or b"")  # pyright: ignore[reportReturnType, reportArgumentType]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidSagaRecord(shortened(str(error))) from error
    except RecursionError as error:
        raise InvalidSagaRecord("JSON is nested too deeply") from error


def participant_of(write: BaseWrite) -> Participant:
    """Return who a write or a request is for."""
    return write.__struct_config__.tag  # pyright: ignore[reportReturnType] - the tags are the names


def saga_headers(saga_id: str, subject: str) -> Headers:
    """Return the headers of a saga's writes, which their receipts carry on."""
    return ((SAGA, saga_id.encode()), (SAGA_SUBJECT, subject.encode()))


def saga_of(headers: Headers) -> tuple[bytes, bytes] | None:
    """Return the id and the subject of the saga that a record belongs to; None when it belongs to none."""
    if not headers:
        return None
    found = dict(headers)
    saga, subject = found.get(SAGA), found.get(SAGA_SUBJECT)
    return None if saga is None or subject is None else (saga, subject)
