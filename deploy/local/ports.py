"""TCP ports of the loopback interface for servers."""

import secrets
import socket
from collections.abc import Collection
from pathlib import Path

LOWEST = 10_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 1_000


class NoFreePort(OSError):  # noqa: N818 - reads as a statement
    """No port is left for a server."""


def free_port(*, beside: Collection[int] = ()) -> int:
    """Return a port on which a server could listen a moment ago, and which no outgoing connection is given.

    None of `beside` is returned: ports that were chosen before, and on which nobody listens yet. Of a cluster's six one
    came twice, once in some thousand starts.

    Those that the kernel gives to outgoing connections will not do: one of many hundred connections of other tests took
    a broker's port in the second before it was bound, and would take that of a broker that is restarted.

    Raises:
        NoFreePort: there is none.
    """
    first_outgoing = int(_OUTGOING.read_text().split()[0]) if _OUTGOING.exists() else 49_152  # RFC 6335
    if first_outgoing - LOWEST < _ATTEMPTS:
        return _any_port(beside)
    for _ in range(_ATTEMPTS):
        # At random, so that two processes that ask at once get two.
        port = LOWEST + secrets.randbelow(first_outgoing - LOWEST)
        if port not in beside and port_is_free(port):
            return port
    raise NoFreePort(f"no port from {LOWEST} to {first_outgoing - 1} is free on 127.0.0.1")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _any_port(beside: Collection[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in beside:
            return port
