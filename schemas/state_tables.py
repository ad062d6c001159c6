"""The state tables of the roles, and for how long their changelogs keep an entry (None: for ever)."""

from schemas.topic import DAY_MS

# Those of the ingest role.
STATE_TABLES: dict[str, int | None] = {"seen": 2 * DAY_MS, "travellers": None, "waiting": None, "arrived": None}
# Those that it has besides where types of entities are settled.
CONFLICT_TABLES: dict[str, int | None] = {"entities": None, "tallies": None}
# Those of events and of rows which wait until an erasure is over.
ERASURE_TABLES: dict[str, int | None] = {"held": None, "held_rows": None}
# Those of the sagas role.
SAGA_TABLES: dict[str, int | None] = {"lines": None, "ended": 7 * DAY_MS}
