# pyright: reportUnknownMemberType=false
"""What Neo4j keeps of deleted data, and what it can be made to do about it."""

import neo4j
from neo4j.exceptions import ClientError

from connectors.sinks.persons import Purge

_ABSENT = ("Neo.ClientError.Procedure.ProcedureNotFound", "Neo.ClientError.Security.Forbidden")
_FILES = (
    "records and keys of indexes that are marked as deleted, until others take their place; copies of the database and "
    "of its logs as long as they are kept"
)
_LOGS = "transaction logs, until they are as long as `db.tx_log.rotation.size` and a checkpoint removes the older ones"


def checkpoint(session: neo4j.Session) -> Purge:
    """Have Neo4j write what is in memory, and remove the logs that it needs no more; the Community edition cannot.

    Nothing has it rewrite its files while it runs. Raises what the driver raises.
    """
    try:
        session.run("CALL db.checkpoint()").consume()
    except ClientError as error:
        if error.code not in _ABSENT:
            raise
        return Purge(keeps=f"{_LOGS}; {_FILES}")
    return Purge(forced="db.checkpoint()", keeps=f"{_LOGS}; {_FILES}")
