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
from connectors.keys.master import KEY_BYTES
from connectors.keys.sealing import sealed_event, to_seal
from schemas.events import DetailsGiven, decode_event, encode_event

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MASTERS = MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_keys")
KEY = DataKey("ann", "k1", b"k" * KEY_BYTES)
RUN, RUNS = 1_000, 50


def details(number: int, **fields: Any) -> DetailsGiven:
    """Return one of many events with these fields."""
    return DetailsGiven(event_id=f"e{number}", user_id="ann", occurred_at=NOW, version=1, **fields)


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
    figures = {
        "decoding a GPS fix, for comparison": cheapest(lambda: [decode_event(one) for one in lines]),
        "an event without sensitive fields": cheapest(lambda: to_seal(fixes)),
        "one field": cheapest(lambda: [sealed_event(one, {"ann": KEY}, MASTERS) for one in passports]),
        "five fields, two blind indexes": cheapest(lambda: [sealed_event(one, {"ann": KEY}, MASTERS) for one in full]),
        "the first event of a user, 1,000 at once": first_meetings(),
    }
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value:.2f} us\n")


if __name__ == "__main__":
    main()
