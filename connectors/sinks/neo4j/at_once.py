# pyright: reportUnknownMemberType=false
"""A batch that is one statement: asked in one round trip, where a transaction around it would take three.

Nearly all batches of a few writes are. The statement is a transaction by itself; what it leaves alone is read, decided
and written in another one, as if it had come in the next batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import neo4j
from msgspec import Struct

from connectors.sinks.contract import Outcome
from connectors.sinks.neo4j.asked import ROWS_AT_ONCE, Asked, Block, Blocks, Piece, ended, parameters_of, pieces
from connectors.sinks.neo4j.plan import Phase, Stage
from connectors.sinks.neo4j.statements import PLANNED_ONCE


class AtOnce(Struct):
    """The statement and its rows."""

    statement: str
    blocks: Sequence[Block]
    asked: Mapping[Block, Asked]
    together: Sequence[Piece]

    @classmethod
    def of(cls, stages: Sequence[Stage], blocks: Blocks) -> Self | None:
        """Return how a plan is asked at once; None: it takes several statements."""
        if len(stages) != 1 or Phase.UNNAMED_GONE in stages[0].phases:
            return None
        if sum(map(len, stages[0].phases.values())) > ROWS_AT_ONCE:
            return None
        asked = blocks.asked(stages[0])
        found = list(blocks.statements(asked))
        if len(found) != 1 or any(one.careful for one in asked.values()):
            return None
        [(statement, order)] = found
        [together] = pieces(order, asked)
        return cls(statement, order, asked, together)

    def ask(self, session: neo4j.Session, seconds: float) -> tuple[dict[int, Outcome], set[int]]:
        """Return the outcomes, and the positions in the batch of those writes that the statement has left alone.

        Args:
            session: without a transaction.
            seconds: after which the server gives up.
        """
        query: Any = neo4j.Query(f"{PLANNED_ONCE}{self.statement}", timeout=seconds)  # pyright: ignore[reportArgumentType] - no literal
        [told] = session.run(query, parameters_of(self.together, self.blocks, self.asked)).data()
        outcomes: dict[int, Outcome] = {}
        left: set[int] = set()
        for piece in self.together:
            place = self.blocks.index(piece.block)
            settled, others = ended(piece, self.asked[piece.block].changes, told[f"told{place}"])
            outcomes.update(settled)
            left.update(index for change in others for index in change.indices)
        return outcomes, left
