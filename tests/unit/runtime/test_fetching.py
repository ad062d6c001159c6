# pyright: reportPrivateUsage=false
"""The part of the transport that runs in the consumer's thread, on real sockets where it is about those."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka.conn import CloseReason

from streams.runtime.fetching import open_connection


class Connection:
    """Stands in for aiokafka's: a stream to a peer, and whether it was told that it is broken."""

    def __init__(self, writer: asyncio.StreamWriter | None) -> None:
        self._writer = writer
        self.reason: CloseReason | None = None

    def close(self, reason: CloseReason) -> None:
        self.reason = reason


async def _connection_to_a_peer() -> Connection:
    async def leave(_: object, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    return Connection(writer)


async def _opened(found: Connection | None) -> Any:
    async def get(node_id: int, *, group: int) -> Connection | None:
        assert (node_id, group) == (1, 0)
        return found

    return await open_connection(get, 1, group=0)


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_a_connection_whose_transport_has_just_closed_is_none(loop: Any) -> None:
    async def check() -> None:
        connection = await _connection_to_a_peer()
        assert connection._writer is not None
        assert await _opened(connection) is connection
        connection._writer.transport.abort()
        assert await _opened(connection) is None
        assert connection.reason is CloseReason.CONNECTION_BROKEN

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(check())


async def test_a_connection_that_knows_that_it_is_closed_and_none_are_passed_on() -> None:
    closed = Connection(None)
    assert await _opened(closed) is closed
    assert closed.reason is None
    assert await _opened(None) is None
