# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""What Redis' errors mean for a batch and for whoever set it up."""

from collections.abc import Generator
from contextlib import contextmanager

from redis import exceptions

from connectors.sinks.errors import Fatal, SinkError, Unavailable

OPTION = "stores.cache"

# First words of answers that pass: failing over, loading, saving to a full disk, too few replicas, another's script.
_PASSING = ("READONLY", "LOADING", "MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "OOM", "UNKILLABLE")
# Answers of a cluster that is moving slots or without some of them: the map of slots has to be fetched anew.
MOVING = (exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError, exceptions.ClusterDownError)
# How all nodes begin while slots are uncovered or the quorum is lost (cluster.c, clusterRedirectClient); that of a
# cluster that goes on without some slots (cluster-require-full-coverage no) is "Hash slot not served".
_DOWN = "The cluster is down"


def of_some_slots(error: object) -> bool:
    """Whether an answer is about the slots of its keys, while the cluster serves others."""
    return isinstance(error, MOVING) and not str(error).startswith(_DOWN)


def meaning(error: Exception) -> SinkError:
    """Return what an error of the client means for a batch."""
    text = str(error).split("\n", 1)[0]
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return Fatal(f"Redis refuses the login ({text}); see `{OPTION}.username` and `{OPTION}.password`")
    if isinstance(error, exceptions.NoPermissionError) or text.startswith("NOPERM"):
        return Fatal(
            f"Redis: {text}; the user of `{OPTION}.username` needs scripts, and its prefix's keys and channels"
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return Unavailable(f"Redis is full: {text}")
    passing = exceptions.ConnectionError | exceptions.TimeoutError | exceptions.ReadOnlyError
    if isinstance(error, (passing, *MOVING)) or text.startswith(_PASSING):
        return Unavailable(f"Redis: {text}")
    return Fatal(f"Redis: {text}; is `{OPTION}.url` a Redis that we may use?")


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of the client into the closed set of the contract.

    Raises:
        Unavailable: no answer, a failover, a full server.
        Fatal: login, permissions, or no Redis; names the option.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise meaning(error) from error
