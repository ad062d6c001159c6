# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Faust's consumer, knowing what it has committed, and what it asks of its app."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import structlog
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.runtime.crash_journal import CrashJournal
from streams.runtime.faults import FaultPoints
from streams.runtime.hold_ups import HoldUps
from streams.runtime.lanes import Lanes
from streams.runtime.metrics import RuntimeMetrics
from streams.runtime.pauses import Pauses
from streams.runtime.producer import RunProducer

log = structlog.get_logger(__name__)


class RunApp(Protocol):
    """What the consumer asks of its app."""

    lanes: dict[str, Lanes]
    urgent_topics: frozenset[str]
    run_changelogs: frozenset[str]
    buffer_bytes: int
    fetch_interval: float
    metrics: RuntimeMetrics
    hold_ups: HoldUps
    pauses: Pauses
    crashes: CrashJournal
    faults: FaultPoints

    def agent_of(self, topic: str) -> str:
        """Return the name of the agent that reads a topic."""
        ...

    def on_drain(self) -> None:
        """Learn that the consumer waits for the runs in work: whatever lingers should go out now."""
        ...


class CommittingConsumer(driver.Consumer):
    """Keeps the offsets that were committed. Faust notes an offset as committed also when the commit was refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.committed: dict[TP, int] = {}
        self.refused: str | None = None  # why the last commit was

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, unless something that was sent is not delivered. Faust has flushed its producer just before."""
        if (reason := self._producer.refusal) is not None:
            if reason != self.refused:
                log.error("commit_refused", reason=reason)
            self.refused = reason
            self._run_app.metrics.commit_failed()
            if self._producer.outstanding.due and self.flow_active:
                await self._begin_again()
            return False
        self._run_app.faults.reach("before-commit")
        done = await super()._commit(offsets)
        if done:
            self.committed.update(offsets)
            self.refused = None
            self._run_app.metrics.committed()
        else:
            self._run_app.metrics.commit_failed()
        return done

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return offset > self.committed.get(tp, 0)

    async def _begin_again(self) -> None:
        """Have the records since the last commit processed again, because something that came of them was lost."""
        try:
            await self.perform_seek()
        except KafkaError as error:
            log.warning("seek_back_failed", error=str(error))  # the next commit is refused too, and comes here again

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to what is committed."""
        committed = await super().seek_to_committed()
        self._producer.outstanding.begin_again()
        self.committed = {tp: offset for tp, offset in committed.items() if offset}
        return committed

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust takes a partition that is held back for a stuck one. `Watch` knows better, and says why."""

    @property
    def _producer(self) -> RunProducer:
        return cast(RunProducer, self.app.producer)

    @property
    def _run_app(self) -> RunApp:
        return cast(RunApp, self.app)
