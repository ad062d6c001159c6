import psycopg
import pytest
from psycopg import errors

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.postgres.connection import connect
from connectors.sinks.postgres.errors import connect_error, interpreted, rejection

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql//user:{SECRET}@host/db",
        f"postgresql://user:p@{SECRET}@host/db",
        f"host=localhost port=abc password={SECRET}",
        f"host=localhost nonsense=1 password={SECRET}",
    ],
)
def test_an_address_that_cannot_be_used_is_fatal_and_does_not_show_the_password(dsn: str) -> None:
    with pytest.raises(Fatal) as caught:
        connect(dsn)
    assert "stores.relational.url" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_does_not_listen_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        connect(f"postgresql://user:{SECRET}@127.0.0.1:1/db")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('FATAL:  password authentication failed for user "u"', Fatal),
        ('FATAL:  database "nowhere" does not exist', Fatal),
        ("FATAL:  sorry, too many clients already", Unavailable),
        ("FATAL:  the database system is starting up", Unavailable),
        ("timeout expired", Unavailable),
    ],
)
def test_only_a_refused_login_is_fatal(message: str, kind: type[Exception]) -> None:
    assert isinstance(connect_error(psycopg.OperationalError(message)), kind)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (errors.ProgramLimitExceeded("index row too large"), True),
        (errors.NumericValueOutOfRange("too large"), True),
        (errors.CheckViolation("no"), True),
        (psycopg.DataError("NUL"), True),
        (errors.DiskFull("full"), False),
        (errors.AdminShutdown("bye"), False),
        (errors.InsufficientPrivilege("no"), False),
        (RuntimeError("ours"), False),
    ],
)
def test_a_write_is_refused_only_for_what_is_its_own_fault(error: Exception, refused: bool) -> None:
    assert (rejection(error) is not None) == refused


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.AdminShutdown("bye"), Unavailable),
        (errors.DiskFull("full"), Unavailable),
        (errors.DeadlockDetected("again"), Unavailable),
        (errors.ReadOnlySqlTransaction("a standby"), Unavailable),
        (errors.LockNotAvailable("waited"), Unavailable),
        (psycopg.OperationalError("connection lost"), Unavailable),
        (errors.InsufficientPrivilege("no"), Fatal),
        (errors.UndefinedTable("dropped"), Fatal),
        (errors.InternalError_("bug"), Fatal),
    ],
)
def test_errors_of_a_batch_are_those_of_the_contract(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind), interpreted():
        raise error
