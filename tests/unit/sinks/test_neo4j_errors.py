# pyright: reportPrivateUsage=false, reportUnknownMemberType=false
"""What Neo4j's errors mean for a batch."""

import pytest
from neo4j.exceptions import Neo4jError

from connectors.sinks.errors import Fatal, SinkError, Unavailable
from connectors.sinks.neo4j.errors import interpreted


def meant(code: str) -> type[SinkError]:
    with pytest.raises(SinkError) as caught, interpreted():
        raise Neo4jError._hydrate_neo4j(code=code, message="Could not append transaction to log.")
    return type(caught.value)


@pytest.mark.parametrize("what", ["TransactionLogError", "TransactionCommitFailed", "TransactionStartFailed"])
def test_a_neo4j_that_cannot_write_its_log_is_waited_for(what: str) -> None:
    """A server whose files cannot grow answers with the first, and with the last until it is started again."""
    assert meant(f"Neo.DatabaseError.Transaction.{what}") is Unavailable


def test_what_no_waiting_helps_against_in_neo4j_is_fatal() -> None:
    assert meant("Neo.ClientError.Statement.SyntaxError") is Fatal
