"""What Neo4j's errors mean for a write, for a batch, and for whoever set it up.

Codes: https://neo4j.com/docs/status-codes/5/errors/all-errors/
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from connectors.sinks.errors import BatchTooLarge, Fatal, SinkError, Unavailable

OPTIONS = "stores.graph"

_CONTENTION = (
    "Neo.TransientError.Transaction.DeadlockDetected",
    "Neo.TransientError.Transaction.LockClientStopped",
    "Neo.TransientError.Transaction.LockAcquisitionTimeout",
    "Neo.ClientError.Transaction.LockAcquisitionTimeout",
    "Neo.TransientError.Transaction.Outdated",
    # Somebody deleted what this transaction had found and was waiting for.
    "Neo.ClientError.Statement.EntityNotFound",
    # Two processes prepare the same database; IF NOT EXISTS does not help who comes between.
    "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
)
_CONTRADICTED = "Neo.ClientError.Schema.ConstraintValidationFailed"
_TOO_LARGE = (
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
    "Neo.TransientError.General.OutOfMemoryError",
    "Neo.TransientError.General.StackOverFlowError",
    "Neo.TransientError.General.TransactionOutOfMemoryError",
    "Neo.ClientError.General.TransactionOutOfMemoryError",
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
)
# It cannot write its log, as on a full disk; after that it begins no transaction until it is started again.
_NOT_WRITTEN = (
    "Neo.DatabaseError.Transaction.TransactionLogError",
    "Neo.DatabaseError.Transaction.TransactionCommitFailed",
    "Neo.DatabaseError.Transaction.TransactionStartFailed",
)
_LIMITED = "Neo.ClientError.Security.AuthenticationRateLimit"
_LIMITED_SECONDS = 5.0  # dbms.security.auth_lock_time
_OF_ONE_WRITE = ("Neo.ClientError.Statement.ArgumentError", "Neo.ClientError.Statement.TypeError")
_TOO_LONG_FOR_AN_INDEX = "Property value is too large to index"


class Contention(Exception):  # noqa: N818 - says what happened
    """Another transaction was in the way and nothing was changed; the same may be tried again at once."""


class Contradicted(Exception):  # noqa: N818 - says what happened
    """A constraint is against one of the writes and nothing was changed.

    For a moment, because another transaction makes the same; or for as long as a constraint of somebody's own stands.
    """


class Refused(Exception):  # noqa: N818 - says what happened
    """The server refuses what one of the writes contains; nothing was changed."""


@contextmanager
def interpreted() -> Generator[None]:
    """Turn errors of the driver and of the server into those of the contract.

    Raises:
        Contention: a deadlock, or a lock that another one holds.
        Contradicted: a constraint is against what one of the writes makes.
        Refused: a value that cannot be stored.
        BatchTooLarge: it needs more memory or time than the server gives to a transaction.
        Unavailable: the server does not answer, starts, cannot write its log, or has another leader now.
        Fatal: address, login, rights or database; names the option.
    """
    try:
        yield
    except (Neo4jError, DriverError) as error:
        raise meaning(error) from error


@contextmanager
def interpreted_alone() -> Generator[None]:
    """Do the same where nothing but the whole can be tried again: what is in the way makes the store unavailable."""
    try:
        with interpreted():
            yield
    except (Contention, Contradicted, Refused) as error:
        raise Unavailable(f"Neo4j: another transaction is in the way: {error}") from error


def meaning(error: Neo4jError | DriverError) -> SinkError | Contention | Contradicted | Refused:
    """Return what an error means. No message of the server repeats a password."""
    text = _first_line(error)
    if isinstance(error, DriverError):
        return _of_driver(error, text)
    found = _BY_CODE.get(error.code or "")
    if found is not None:
        return found(text)
    if _TOO_LONG_FOR_AN_INDEX in text:
        return Refused(text)
    if (error.code or "").startswith("Neo.ClientError.Security"):
        return _refused_user(error, text)
    if error.is_retryable() or (error.code or "").startswith("Neo.TransientError"):
        return Unavailable(f"Neo4j: {text}")
    return Fatal(f"Neo4j: {text}")


def _refused_user(error: Neo4jError, text: str) -> SinkError:
    if isinstance(error, AuthError):
        return Fatal(f"Neo4j refuses the login; check `{OPTIONS}.username` and `{OPTIONS}.password`")
    return Fatal(f"Neo4j refuses ({text}); let `{OPTIONS}.username` name a user with the role publisher")


def _of_driver(error: DriverError, text: str) -> SinkError:
    if isinstance(error, ServiceUnavailable | SessionExpired) or error.is_retryable():
        return Unavailable(f"Neo4j does not answer: {text}")
    if isinstance(error, ConfigurationError):
        return Fatal(f"Neo4j's driver refuses what `{OPTIONS}.url` says: {text}")
    return Fatal(f"Neo4j's driver: {text}")


def _too_large(text: str) -> SinkError:
    return BatchTooLarge(f"Neo4j: {text}; `{OPTIONS}.batch_records` or the server's memory settings help")


def _not_written(text: str) -> SinkError:
    return Unavailable(f"Neo4j cannot write; see its log and its disk, and start it again: {text}")


def _limited(text: str) -> SinkError:
    return Unavailable(f"Neo4j refuses logins for a while after too many wrong ones: {text}", _LIMITED_SECONDS)


def _no_database(text: str) -> SinkError:
    return Fatal(f"`{OPTIONS}.database` names a database that is not there: {text}")


_BY_CODE: dict[str, Callable[[str], SinkError | Contention | Contradicted | Refused]] = {
    **dict.fromkeys(_CONTENTION, Contention),
    _CONTRADICTED: Contradicted,
    **dict.fromkeys(_TOO_LARGE, _too_large),
    **dict.fromkeys(_OF_ONE_WRITE, Refused),
    **dict.fromkeys(_NOT_WRITTEN, _not_written),
    _LIMITED: _limited,
    "Neo.ClientError.Database.DatabaseNotFound": _no_database,
}


def _first_line(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return str(text).strip().split("\n", 1)[0]
