"""How often a workload does what."""

from random import Random
from typing import Self

from msgspec import Struct


class Mix(Struct, frozen=True, kw_only=True):
    """Shares of the statements, and chances. What is no insert, update, change of the key or delete is many at once.

    Attributes:
        insert: one row.
        update: one row.
        rekey: one row gets the key of another that is not there.
        delete: one row.
        rollback: chance that a transaction is rolled back.
        savepoint: chance that a savepoint follows a statement.
        rows: of a table that a session works on: few, so that most statements find one.
        statements: of a transaction, at most.
    """

    insert: float = 0.4
    update: float = 0.4
    rekey: float = 0.1
    delete: float = 0.1
    rollback: float = 0.1
    savepoint: float = 0.2
    rows: int = 12
    statements: int = 6

    @classmethod
    def of(cls, seed: int) -> Self:
        """Return the mix of a seed, where every kind of statement is frequent with some seed and rare with others."""
        draw = Random(f"mix {seed}")
        shares = [draw.random() ** 2 + 0.02 for _ in range(5)]
        insert, update, rekey, delete, _ = (share / sum(shares) for share in shares)
        return cls(
            insert=insert,
            update=update,
            rekey=rekey,
            delete=delete,
            rollback=draw.choice([0.0, 0.1, 0.5]),
            savepoint=draw.choice([0.0, 0.2, 0.6]),
            rows=draw.choice([2, 12, 60]),
            statements=draw.choice([1, 6, 40]),
        )
