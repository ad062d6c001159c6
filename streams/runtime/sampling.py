# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""What a worker is doing at this moment, read out of Faust, its driver and our consumer; no broker is asked."""

import asyncio
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.runtime.lanes import lane_of
from streams.runtime.progress import Oldest, PartitionSample, Sample, Stall, State, TableRestore
from streams.runtime.transport import RunConsumer
from streams.runtime.watch import line_of

if TYPE_CHECKING:
    from streams.runtime.app import StreamApp


def take_sample(app: "StreamApp") -> Sample:
    """Return what the worker is doing. Called in the app's loop."""
    consumer = cast("RunConsumer | None", app._consumer)
    driver = None if consumer is None else consumer._thread._consumer
    if consumer is None or driver is None:
        return Sample("stopping" if app.should_stop else "starting")
    return Sample(
        _state(app),
        tuple(_partitions(app, consumer, driver)),
        tuple(_restores(app)),
        away=_away(app, driver),
        refused=consumer.refused,
        unacknowledged=app.publisher.unacknowledged,
    )


def where(app: "StreamApp", stall: Stall) -> str | None:
    """Return at which "file:line in function" a stalled partition waits; None when it cannot be told.

    Called in the app's loop.
    """
    if stall.topic is None or stall.partition is None:
        return None
    lane = lane_of(TP(stall.topic, stall.partition))
    for task in asyncio.all_tasks():
        if task.get_name() == lane:
            return line_of(_stack(task.get_coro()))
    # Agents that do not take runs are their own task.
    agent = app.agents.get(app.agent_of(stall.topic))
    for actor in () if agent is None else cast(Any, agent)._actors:
        return line_of(_stack(actor.it))
    return None


def _stack(awaited: object) -> list[FrameType]:
    """Return the frames of what waits, the innermost first."""
    stack: list[FrameType] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        stack = stack if frame is None else [frame, *stack]
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return stack


def _state(app: "StreamApp") -> State:
    if app.should_stop:
        return "stopping"
    if app.in_recovery:
        return "restoring"
    if app.rebalancing:
        return "rebalancing"
    return "running" if cast(Any, app.tables).recovery.completed.is_set() else "starting"


def _away(app: "StreamApp", driver: Any) -> str | None:
    if any(connection.connected() for connection in list(driver._client._conns.values())):
        return None
    return f"no broker of {','.join(url.authority for url in app.conf.broker_consumer)} is connected"


def _partitions(app: "StreamApp", consumer: RunConsumer, driver: Any) -> Iterator[PartitionSample]:
    subscription = driver._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return
    begun = {(run.tp, run.records[0].offset) for run in consumer._working}
    for tp in sorted(cast("set[TP]", assignment.tps)):
        if consumer._is_input(tp):
            state = assignment.state_value(TopicPartition(tp.topic, tp.partition))
            yield _partition(app, consumer, TP(tp.topic, tp.partition), state, begun)


def _partition(
    app: "StreamApp", consumer: RunConsumer, tp: TP, state: Any, begun: set[tuple[TP, int]]
) -> PartitionSample:
    offsets = consumer._offsets.get(tp)
    oldest = None
    if offsets is not None and offsets.oldest is not None:
        first, last, timestamp = offsets.oldest
        runs = tp.topic in app.lanes
        held_up = app.hold_ups.reason(tp.topic) or app.pauses.reason(tp.topic)
        oldest = Oldest(first, last, timestamp, not runs or (tp, first) in begun, held_up)
    return PartitionSample(
        tp.topic,
        tp.partition,
        app.agent_of(tp.topic),
        committed=consumer.committed.get(tp),
        finished=None if offsets is None else offsets.committable,
        position=state._position,
        # What can be read: not the records of a transaction that is open, nor what lies behind them.
        end=state.highwater if state.lso is None or state.lso < 0 else state.lso,
        # The driver notes the time of the wall clock, which may be set back.
        answered=None if state.timestamp is None else max(0.0, time.time() - state.timestamp / 1000),
        oldest=oldest,
        open_runs=0 if offsets is None else offsets.unfinished,
        open_bytes=consumer._open_bytes.get(tp, 0),
        full=not consumer._may_fetch(tp),
        paused=tuple(app.pauses.kinds(tp.topic)),
    )


def _restores(app: "StreamApp") -> Iterator[TableRestore]:
    """Yield where each table is in its changelog, of which a restore may have to read the end only."""
    recovery = cast(Any, app.tables).recovery
    for table, tps in recovery.actives_for_table.items():
        ends = {tp: recovery.active_highwaters.get(tp) for tp in tps}
        known = [(end + 1, (recovery.active_offsets.get(tp) or -1) + 1) for tp, end in ends.items() if end is not None]
        left = sum(max(0, end - reached) for end, reached in known)
        yield TableRestore(table.name, sum(end for end, _ in known) - left, left)
