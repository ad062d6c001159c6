"""Dead letters as they are read back: which there are, what they say, what was done with them, what to send again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from connectors.kafka.reading import StoredRecord
from schemas.headers import (
    ATTEMPTS,
    ERROR_CLASS,
    ERROR_CONNECTOR,
    ERROR_MESSAGE,
    ERROR_OFFSET,
    ERROR_PARTITION,
    ERROR_STAGE,
    ERROR_TOPIC,
    FIRST_FAILED_AT,
    STORE,
    VALUE_LEFT_OUT,
    Headers,
    header_map,
    without_error_headers,
)
from schemas.letter_actions import Deed, InvalidAction, LetterAction, decode_action

LetterState = Literal["open", "replayed", "edited", "discarded"]


class Letter(Struct, frozen=True, kw_only=True):
    """A dead letter. `position` is its own place, "<partition>:<offset>"; `topic` and the rest are the original's."""

    position: str
    topic: str
    partition: int
    offset: int
    component: str
    stage: str
    store: str | None
    error: str
    message: str
    attempts: int
    first_failed_at: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    value_left_out: bool
    state: LetterState = "open"

    @property
    def origin(self) -> str:
        """Where the record lay."""
        return f"{self.topic}-{self.partition}@{self.offset}"

    @property
    def kind(self) -> tuple[str, str, str, str, str]:
        """What letters are grouped by."""
        return (self.component, self.stage, self.store or "", self.error, self.topic)


class Filter(Struct, frozen=True, kw_only=True):
    """Which letters are meant; an empty field means any. `since` is the first moment, `until` is after the last."""

    component: str = ""
    stage: str = ""
    store: str = ""
    error: str = ""
    topic: str = ""
    text: str = ""
    key: bytes | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str = ""
    positions: frozenset[str] = frozenset()

    def matches(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        has = (*letter.kind, letter.state)
        asked = (self.component, self.stage, self.store, self.error, self.topic, self.state)
        if any(wanted and wanted != given for wanted, given in zip(asked, has, strict=True)):
            return False
        if self.positions and letter.position not in self.positions:
            return False
        if self.key is not None and letter.key != self.key:
            return False
        if not _within(letter.first_failed_at, self.since, self.until):
            return False
        return self.text.casefold() in letter.message.casefold()


def read_letters(records: Iterable[StoredRecord], deeds: Mapping[str, Deed] | None = None) -> list[Letter]:
    """Return the dead letters among the records of their topic, oldest first; others have no error headers.

    A worker that was killed before it committed writes a letter again; the first is returned.

    Args:
        records: of the topic of dead letters.
        deeds: what was done last with the letters, by position.
    """
    found: dict[object, Letter] = {}
    for record in sorted(records, key=lambda one: (one.timestamp, one.offset)):
        letter = _letter(record, (deeds or {}).get(f"{record.partition}:{record.offset}", "open"))
        if letter is not None:
            found.setdefault(_origin(letter), letter)
    return list(found.values())


def read_actions(records: Iterable[StoredRecord]) -> list[LetterAction]:
    """Return what was done with letters, the oldest first; what is no such record is left out."""
    found: list[LetterAction] = []
    for record in sorted(records, key=lambda one: (one.timestamp, one.offset)):
        try:
            found.append(decode_action(record.value or b""))
        except InvalidAction:
            continue  # others may write there; it says nothing about a letter
    return found


def last_deeds(actions: Iterable[LetterAction]) -> dict[str, Deed]:
    """Return what was done with each letter last."""
    return {action.position: action.deed for action in actions}


def action_on(
    letter: Letter, deed: Deed, *, by: str, at: datetime, sent: bytes | None = None, why: str = ""
) -> LetterAction:
    """Return the record of what is done with a letter; `sent` is the value that goes out."""
    return LetterAction(
        position=letter.position,
        origin=letter.origin,
        deed=deed,
        by=by,
        at=at,
        found=_digest(letter.value),
        sent=None if deed == "discarded" else _digest(sent),
        why=why,
    )


def group(letters: Sequence[Letter]) -> list[tuple[Letter, int]]:
    """Return the last letter of each kind and how many there are, the most frequent first."""
    counts = Counter(letter.kind for letter in letters)
    last = {letter.kind: letter for letter in letters}
    return [(last[kind], count) for kind, count in counts.most_common()]


def original_headers(letter: Letter) -> Headers:
    """Return the headers the record had before it failed."""
    return without_error_headers(letter.headers)


def _letter(record: StoredRecord, state: LetterState) -> Letter | None:
    said = header_map(record.headers)
    if ERROR_TOPIC not in said:
        return None
    return Letter(
        position=f"{record.partition}:{record.offset}",
        topic=said[ERROR_TOPIC],
        partition=_number(said.get(ERROR_PARTITION), -1),
        offset=_number(said.get(ERROR_OFFSET), -1),
        component=said.get(ERROR_CONNECTOR, ""),
        stage=said.get(ERROR_STAGE, ""),
        store=said.get(STORE),
        error=said.get(ERROR_CLASS, ""),
        message=said.get(ERROR_MESSAGE, ""),
        attempts=_number(said.get(ATTEMPTS), 1),
        first_failed_at=said.get(FIRST_FAILED_AT, ""),
        key=record.key,
        value=record.value,
        headers=record.headers,
        value_left_out=VALUE_LEFT_OUT in said,
        state=state,
    )


def _within(moment: str, since: datetime | None, until: datetime | None) -> bool:
    if since is None and until is None:
        return True
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return False  # others may write dead letters as well, and not all headers are sound
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return (since is None or at >= since) and (until is None or at < until)


def _digest(value: bytes | None) -> str:
    return sha256(value or b"").hexdigest()


def _origin(letter: Letter) -> object:
    """Return what two writings of one letter share; a letter that does not say where it came from is its own."""
    if letter.offset < 0:
        return letter.position
    return (letter.topic, letter.partition, letter.offset, letter.component, letter.stage, letter.store, letter.message)


def _number(text: str | None, otherwise: int) -> int:
    """Return a number of a header; others may write dead letters as well, and not all headers are sound."""
    try:
        return otherwise if text is None else int(text)
    except ValueError:
        return otherwise
