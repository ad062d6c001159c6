"""What sealing costs intake: CPU of the cheapest of many runs, so that other work on the machine shows little.

python -m bench.sealing
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.typed_events import fix
from connectors.keys import DataKey, MasterKeys, SQLiteKeyStore, UserKeys
from connectors.keys.contents import opened_event, opened_write, sealed_write, whole_event
from connectors.keys.master import KEY_BYTES
from connectors.keys.sealing import sealed_event, to_seal
from schemas.events import DetailsGiven, MessageSent, decode_event, encode_event
from schemas.writes import RelationalWrite, encode_write

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MASTERS = MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_keys")
KEY = DataKey("ann", "k1", b"k" * KEY_BYTES)
KEYS = {"ann": KEY}
TEXT = "Is there a quiet place by the river where we could have dinner tomorrow, not too far from the station?"
RUN, RUNS = 1_000, 50


def details(number: int, **fields: Any) -> DetailsGiven:
    """Return one of many events with these fields."""
    return DetailsGiven(event_id=f"e{number}", user_id="ann", occurred_at=NOW, version=1, **fields)


def message(number: int) -> MessageSent:
    """Return one of many messages."""
    return MessageSent(
        event_id=f"m{number}", user_id="ann", occurred_at=NOW, conversation_id="c", role="user", text=TEXT, version=1
    )


def row(number: int) -> RelationalWrite:
    """Return the row of one of many messages."""
    return RelationalWrite(
        entity=f"messages:m{number}",
        version=1,
        source="events",
        event_id=f"m{number}",
        occurred_at=NOW,
        table="messages",
        key=f"m{number}",
        columns={"user_id": "ann", "conversation_id": "c", "role": "user", "text": TEXT, "sent_at": NOW.isoformat()},
    )


def cheapest(function: Callable[[], object], runs: int = RUNS) -> float:
    """Return the microseconds of CPU for each of `RUN` things that a call does."""
    spent: list[float] = []
    for _ in range(runs):
        began = time.process_time()
        function()
        spent.append(time.process_time() - began)
    return min(spent) / RUN * 1e6


def first_meetings() -> float:
    """Return the microseconds for each of `RUN` users who get their key, made in one question to a SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        keys = UserKeys(SQLiteKeyStore(Path(folder) / "user-keys.db"), lambda _: MASTERS)
        keys.open()
        cost = cheapest(lambda: keys.get_or_create([f"user {number}" for number in range(RUN)]), 1)
        keys.close()
        return cost


def main() -> None:
    """Print what each costs."""
    fixes = [fix(number) for number in range(RUN)]
    lines = [encode_event(one) for one in fixes]
    passports = [details(number, passport="AB1234567") for number in range(RUN)]
    email, phone, home = "ann@example.org", "+44 1223 123456", "geo:52.20531,0.12177"
    full = [
        details(number, email=email, phone=phone, passport="AB1234567", card="4111 1111 1111 1111", home=home)
        for number in range(RUN)
    ]
    rows = [row(number) for number in range(RUN)]
    sealed_rows = [sealed_write(one, "ann", KEYS) for one in rows]
    messages = [message(number) for number in range(RUN)]
    sealed_messages = [whole_event(one, KEYS) for one in messages]
    figures = {
        "decoding a GPS fix, for comparison": cheapest(lambda: [decode_event(one) for one in lines]),
        "an event without sensitive fields": cheapest(lambda: to_seal(fixes)),
        "one field": cheapest(lambda: [sealed_event(one, {"ann": KEY}, MASTERS) for one in passports]),
        "five fields, two blind indexes": cheapest(lambda: [sealed_event(one, {"ann": KEY}, MASTERS) for one in full]),
        "encoding a write of a message, for comparison": cheapest(lambda: [encode_write(one) for one in rows]),
        "sealing its content": cheapest(lambda: [sealed_write(one, "ann", KEYS) for one in rows]),
        "encoding it sealed": cheapest(lambda: [encode_write(one) for one in sealed_rows]),
        "opening it": cheapest(lambda: [opened_write(one, KEYS) for one in sealed_rows]),
        "sealing an event as a whole": cheapest(lambda: [whole_event(one, KEYS) for one in messages]),
        "opening it, an event": cheapest(lambda: [opened_event(one, KEYS) for one in sealed_messages]),
        "the first event of a user, 1,000 at once": first_meetings(),
    }
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value:.2f} us\n")


if __name__ == "__main__":
    main()
