"""A server whose files cannot grow, which to it is a full disk but for the name of the error: EFBIG for ENOSPC.

A limit of its process, so it needs neither a disk of its own nor the right to mount one, and works wherever these
tests do. What a server has open it may still read, and nothing it has written is lost.
"""

import resource
from collections.abc import Generator
from contextlib import contextmanager

from deploy.local.server import Server


@contextmanager
def without_room(server: Server) -> Generator[None]:
    """Refuse a server every byte it wants to write to a file, its log included.

    It is not ended by SIGXFSZ: the runtimes of Java and of Go leave that signal alone.
    """
    pid = server.process.pid
    assert pid is not None, f"{server.name} does not run"
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        if server.process.pid == pid:  # it may have ended itself
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
