# pyright: reportPrivateUsage=false
"""Sends the fetches of a consumer, each in the session that it has with its broker, and not too often."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

from streams.runtime.fetch_protocol import Request
from streams.runtime.fetch_sessions import FetchSession

Send = Callable[..., Awaitable[Any]]


class FetchClient:
    """Stands in for the `send` of aiokafka's client.

    Args:
        send: that of the client, to which everything else goes unchanged.
        subscription: the consumer's. Its partitions note when they were last answered for, also those of which an
            answer says nothing because nothing has changed.
        interval: seconds between two fetches from a broker, at least.
    """

    def __init__(self, send: Send, subscription: Any, interval: float) -> None:
        self._send = send
        self._subscription = subscription
        self._sessions: defaultdict[object, FetchSession] = defaultdict(FetchSession)
        self._interval = interval
        self._due: dict[object, float] = {}

    async def send(self, node_id: object, request: Any, **options: Any) -> Any:
        """Send a request and return its response; see aiokafka's client."""
        if type(request) is not FetchRequest:
            return await self._send(node_id, request, **options)
        session = self._sessions[node_id]
        response = await self._fetch(node_id, request, session, options)
        self._note(request, response, session)
        return response

    async def _fetch(
        self, node_id: object, request: FetchRequest, session: FetchSession, options: dict[str, Any]
    ) -> Any:
        await self._wait_for_turn(node_id)
        while True:
            ours = Request.of(request, session)
            try:
                response = await self._send(node_id, ours, **options)
            except BaseException:  # also where nobody waits for the answer any more, which comes all the same
                session.lost()
                raise
            if ours.asked is None or session.answered(response.error_code, response.session_id):
                return response
            if not ours.asked.epoch:  # the whole list was asked for, which needs no session
                return response

    async def _wait_for_turn(self, node_id: object) -> None:
        pause = self._due.get(node_id, 0.0) - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)  # this is the interval
        self._due[node_id] = time.monotonic() + self._interval

    def _note(self, request: FetchRequest, response: Any, session: FetchSession) -> None:
        """Note that a broker has answered for those partitions, too, of which it says nothing."""
        subscription = self._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return
        told = {(topic, partition[0]) for topic, partitions in response.topics for partition in partitions}
        now_ms, states = int(1_000 * time.time()), assignment._tp_state
        for topic, partitions in request._topics:
            for number, *_ in partitions:
                state = states.get((topic, number))
                if state is None or (topic, number) in told:
                    continue
                if state.timestamp is None:
                    # The broker has told of it, but aiokafka did not take that answer: the partition was assigned anew
                    # or sought in the meantime. An idle one would never be told of again, and pass for stuck.
                    session.lost()
                else:
                    state.timestamp = now_ms
