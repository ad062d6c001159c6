"""Follow the signals that arrive while the stream goes on."""

import time
from collections.abc import Callable

import structlog

from connectors.cdc.incremental import IncrementalSnapshot
from connectors.cdc.lsn import format_lsn
from connectors.cdc.session import Session
from connectors.cdc.signal_topic import SignalTopic
from connectors.cdc.signals import Signal, Unusable, data_of, step_of

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.2


class Signalling:
    """Looks for signals in the table and in the topic, and does what they say.

    What a signal changes is written with the next offset, and so is where signals are read on: after a crash what it
    asked for is known, or it is followed again.

    Args:
        session: its signal table is told of by the stream.
        snapshot: what signals are about.
        topic: of the signals; None for none.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        session: Session,
        snapshot: IncrementalSnapshot,
        topic: SignalTopic | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._snapshot = snapshot
        self._topic = topic
        self._clock = clock
        self._looked = clock()
        if topic is not None:
            session.offsets.keep_signals(topic.positions)

    def step(self) -> None:
        """Follow what has arrived; never waits."""
        waiting = self._session.signal_table.waiting
        while waiting:
            self._follow(waiting.popleft())
        now = self._clock()
        if self._topic is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        while (signal := self._topic.next()) is not None:
            self._follow(signal)
        self._session.offsets.keep_signals(self._topic.positions)

    def _follow(self, signal: Signal) -> None:
        try:
            if signal.type == "log":
                position = format_lsn(self._session.counters.received_lsn)
                log.info("signal_log", message=data_of(signal).message.replace("{}", position))
                return
            if self._session.found.server.in_recovery:
                raise Unusable("this server is a standby, where tables cannot be read beside the stream")
            step = step_of(signal, list(self._session.config.topics))
        except Unusable as reason:
            log.warning("signal_ignored", id=signal.id, type=signal.type, reason=str(reason))
            return
        self._snapshot.change(step, signal.id)
        state = self._session.offsets.snapshot
        log.info(
            "signal_followed",
            id=signal.id,
            type=signal.type,
            to_be_read=[entry.table for entry in state.tables],
            paused=state.paused,
        )
