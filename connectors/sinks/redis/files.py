# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Have a Redis write its files anew: both the append-only file and a snapshot still have what was deleted since."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from redis import Redis, exceptions

from connectors.sinks.errors import Unavailable
from connectors.sinks.persons import Purge

_LOOK_SECONDS = 0.1
_BUSY = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")
_ALREADY = ("already in progress", "active")  # "Another child process is active"


def rewrite_files(servers: Iterable[Redis]) -> Purge:
    """Return what some servers were made to do, one after the other, when it is done.

    Raises:
        Unavailable: a server could not write its file; its disk may be full, or it could not fork.
        RedisError: what the client raises.
    """
    forced: dict[str, None] = {}
    keeps: dict[str, None] = {}
    for server in servers:
        about = _about(server)
        if about.get("aof_enabled"):
            _tell(server, server.bgrewriteaof, "aof_last_bgrewrite_status", "BGREWRITEAOF", forced, keeps)
        snapshots = _makes_snapshots(server)
        if snapshots:
            _tell(server, server.bgsave, "rdb_last_bgsave_status", "BGSAVE", forced, keeps)
        elif snapshots is None:
            keeps["its snapshot, if there is one, until the next (CONFIG is not allowed)"] = None
        if server.info("replication").get("connected_slaves"):
            keeps["files of its replicas, until they rewrite them"] = None
    return Purge(forced=", ".join(forced), keeps="; ".join(keeps))


def _tell(
    server: Redis,
    command: Callable[[], Any],
    status: str,
    name: str,
    forced: dict[str, None],
    keeps: dict[str, None],
) -> None:
    """Have a server do something in the background, begun after this was called, and wait for its end."""
    while True:
        try:
            command()
            break
        except exceptions.NoPermissionError:
            keeps[f"what {name} would remove, until the server does it itself (it is not allowed to us)"] = None
            return
        except exceptions.ResponseError as error:
            if not any(words in str(error) for words in _ALREADY):
                raise
            _wait(server)  # that one may have begun before the last delete
    _wait(server)
    if _about(server).get(status) != "ok":
        raise Unavailable(f"Redis: {name} failed; see its log")
    forced[name] = None


def _wait(server: Redis) -> None:
    while any(_about(server).get(name) for name in _BUSY):
        time.sleep(_LOOK_SECONDS)  # between two looks: Redis tells nobody when it is done


def _about(server: Redis) -> dict[str, Any]:
    return dict(server.info("persistence"))


def _makes_snapshots(server: Redis) -> bool | None:
    """Return whether a server is set up to write snapshots; None: it does not tell."""
    try:
        return bool(dict(server.config_get("save")).get("save"))
    except exceptions.ResponseError:  # not allowed, or renamed away
        return None
