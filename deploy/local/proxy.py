"""A TCP proxy that misbehaves when it is told to, to stand between a client and a real server in tests and benchmarks.

It listens on a free port of the loopback interface and serves in a thread of its own. A connection that was made
half-open stays so for good, also when the fault is over: whoever waits on it for ever is found out.
"""

import asyncio
import random
import socket
import struct
import threading
from typing import Literal, Self

FaultName = Literal["none", "latency", "reset", "half-open", "bandwidth", "storm"]

LATENCY_SECONDS = (0.05, 0.4)  # of each chunk, in either direction
BYTES_PER_SECOND = 128 * 1024
STORM = ("429 Too Many Requests", "503 Service Unavailable")
_CHUNK = 16 * 1024
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST


class _Behaviour:
    """What connections do at the moment, and how often they did."""

    def __init__(self, seed: int, bytes_per_second: int) -> None:
        self.fault: FaultName = "none"
        self.bytes_per_second = bytes_per_second
        self.hits = 0
        self.random = random.Random(seed)


class FaultProxy:
    """Passes bytes between clients and one server, as `fault` says.

    latency: each chunk waits. reset: half of a response is passed on, then the connection is reset. half-open: what
    comes is taken and nothing is answered. bandwidth: bytes trickle. storm: requests of HTTP are answered with 429 or
    503 and never reach the server; connections that carry anything else are not disturbed.

    Args:
        host: of the server.
        port: of the server.
        bytes_per_second: that "bandwidth" lets through, in each direction of a connection.
    """

    def __init__(self, host: str, port: int, *, bytes_per_second: int = BYTES_PER_SECOND) -> None:
        self._target = (host, port)
        self._behaviour = _Behaviour(port, bytes_per_second)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def hits(self) -> int:
        """How often the present fault has done something."""
        return self._behaviour.hits

    def set(self, fault: FaultName) -> None:
        """Misbehave like this from now on, on connections that are there, too; "none" ends it."""
        self._behaviour.fault, self._behaviour.hits = fault, 0

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            _abort(writer)
            return
        connection = _Connection(self._behaviour, (reader, writer), (there, back))
        await connection.run()


class _Connection:
    """One connection and the one behind it."""

    def __init__(
        self,
        behaviour: _Behaviour,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._behaviour = behaviour
        self._client = client
        self._server = server
        self._dead = False  # half-open

    async def run(self) -> None:
        """Pass bytes both ways until either side has had enough."""
        ways = [
            asyncio.create_task(self._pump(self._client[0], self._server[1], response=False)),
            asyncio.create_task(self._pump(self._server[0], self._client[1], response=True)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self._dead:  # the server may have closed it; the client hears nothing of that
                await ways[0]
            for way in done:
                way.result()
        except (OSError, _CutError):
            pass  # either side is gone, or was cut off on purpose; the other one hears of it below
        finally:
            for way in ways:
                way.cancel()
            for _, writer in (self._client, self._server):
                _abort(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, response: bool) -> None:
        while data := await reader.read(_CHUNK):
            match self._behaviour.fault:
                case "half-open":
                    self._dead = True
                    self._behaviour.hits += 1
                case "latency" if not self._dead:
                    self._behaviour.hits += 1
                    await asyncio.sleep(self._behaviour.random.uniform(*LATENCY_SECONDS))  # this is the fault
                case "bandwidth" if not self._dead:
                    self._behaviour.hits += 1
                    await asyncio.sleep(len(data) / self._behaviour.bytes_per_second)  # this is the fault
                case "reset" if response and not self._dead:
                    self._behaviour.hits += 1
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    raise _CutError
                case "storm" if not response and _is_request(data):
                    self._behaviour.hits += 1
                    await self._refuse()
                    raise _CutError
                case _:
                    pass
            if not self._dead:
                writer.write(data)
                await writer.drain()

    async def _refuse(self) -> None:
        """Answer a request without passing it on, and read the rest of it: a reset would take the answer away."""
        reader, writer = self._client
        status = self._behaviour.random.choice(STORM)
        writer.write(f"HTTP/1.1 {status}\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.write_eof()
        while await reader.read(_CHUNK):
            continue


class _CutError(Exception):
    """The connection is cut off here."""


def _is_request(data: bytes) -> bool:
    return data.split(b" ", 1)[0] in (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"PATCH")


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST; harmless when it is closed."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.close()
