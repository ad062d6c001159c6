"""One attempt to write a batch: what the store does not take as a whole is bisected down to the write at fault."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import structlog

from connectors.sinks.contract import Outcome, Recognising, Sink, Undoing
from connectors.sinks.errors import BatchTooLarge, Fatal, Unavailable
from schemas.writes import BaseWrite, StoreName
from streams.delivery.errors import Refused, SinkRaised, WriteTooLarge
from streams.delivery.opening import Opening

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Attempts:
    """A sink, opened when there is something to write, and opened anew after it failed. One thread at a time.

    It is given contents; what comes sealed is opened before, in this thread.

    Attributes:
        too_large: how often the store said that a batch was too large.
    """

    def __init__(self, store: StoreName, sink: Sink[Any], opening: Opening) -> None:
        self._store = store
        self._sink = sink
        self._opening = opening
        self._open = False
        self.too_large = 0

    def write(self, writes: Sequence[BaseWrite]) -> list[Outcome]:
        """Return one outcome for each write.

        Raises:
            Unavailable: nothing is known of any of them.
            Fatal: the store takes nothing from us.
        """
        contents = self._opening.opened(writes)
        taken = [one for one in contents if isinstance(one, BaseWrite)]
        try:
            if not self._open:
                self._reopen()
            outcomes = iter(self._bisect(self._sink.write, taken) if taken else ())
        except (Unavailable, Fatal):
            self._open = False
            raise

        return [next(outcomes) if isinstance(one, BaseWrite) else one for one in contents]

    @property
    def tells_undo(self) -> bool:
        """Whether the sink can tell what would undo a write."""
        return isinstance(self._sink, Undoing)

    def undoing(self, writes: Sequence[BaseWrite]) -> list[BaseWrite | Refused | None]:
        """Return what would undo each write if it was applied now; None: nothing, or the sink cannot tell.

        A refusal stands for a write that the sink raises on: whether there is something to undo is not known.

        Raises:
            Unavailable: as `write`.
            Fatal: as `write`.
        """
        if not isinstance(self._sink, Undoing):
            return [None] * len(writes)
        return self._told(cast("Undoing[BaseWrite]", self._sink).before, writes)

    @property
    def recognises(self) -> bool:
        """Whether the sink tells a write that it took before it was cut off."""
        return isinstance(self._sink, Recognising)

    def own(self, writes: Sequence[BaseWrite]) -> list[BaseWrite | Refused | None]:
        """Return what undoes writes that the store holds, which held nothing before them; None of others.

        A refusal stands for a write that the sink raises on.

        Raises:
            Unavailable: as `write`.
            Fatal: as `write`.
        """
        return self._told(cast("Recognising[BaseWrite]", self._sink).own, writes)

    def _told(
        self, ask: Callable[[Sequence[BaseWrite]], Sequence[BaseWrite | None]], writes: Sequence[BaseWrite]
    ) -> list[BaseWrite | Refused | None]:
        contents = self._opening.opened(writes)
        taken = [one for one in contents if isinstance(one, BaseWrite)]
        try:
            if not self._open:
                self._reopen()
            found = iter(self._bisect(ask, taken) if taken else ())
        except (Unavailable, Fatal):
            self._open = False
            raise
        # Of what nobody can read nothing comes into the store that could be undone.
        undos = [next(found) if isinstance(one, BaseWrite) else None for one in contents]
        return [
            self._opening.sealed(undo, write) if isinstance(undo, BaseWrite) else undo
            for undo, write in zip(undos, writes, strict=True)
        ]

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def _reopen(self) -> None:
        try:
            self._sink.close()
            self._sink.open()
        except (Unavailable, Fatal):
            raise
        # Nothing of that is the writes' fault; the worker goes on to serve the other stores.
        except Exception as error:
            log.exception("sink_raised", store=self._store)
            raise Fatal(f"opening the sink raised {type(error).__name__}: {error}") from error
        self._open = True

    def _bisect(
        self, ask: Callable[[Sequence[BaseWrite]], Sequence[T]], writes: Sequence[BaseWrite]
    ) -> Sequence[T | Refused]:
        """Return what the sink answers for each write, and a refusal of those at fault."""
        try:
            answers = ask(writes)
        except (Unavailable, Fatal):
            raise
        except BatchTooLarge as error:
            self.too_large += 1
            refused = Refused(f"too large for the store by itself: {error}", WriteTooLarge)
        # A fault in a sink must cost the write that provokes it, not the batch, and never the worker.
        except Exception as error:
            log.exception("sink_raised", store=self._store, writes=len(writes))
            refused = Refused(f"{type(error).__name__}: {error}", SinkRaised)
        else:
            if len(answers) == len(writes):
                return answers
            refused = Refused(f"the sink returned {len(answers)} answers for {len(writes)} writes", SinkRaised)
        if len(writes) == 1:
            return [refused]
        middle = len(writes) // 2
        return [*self._bisect(ask, writes[:middle]), *self._bisect(ask, writes[middle:])]
