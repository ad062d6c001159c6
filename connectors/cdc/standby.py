"""What a source that reads from a standby cannot do, and what it needs there. Pure.

A standby takes no writes: no publication, no heartbeats, no watermarks. Its slot lives by what the primary keeps.
"""

from collections.abc import Iterator

from connectors.cdc.config import CdcConfig
from connectors.cdc.found import Finding, Found
from connectors.cdc.publication import published_operations, table_list

STANDBYS_SINCE = 160_000
# A standby builds the state of a slot from a record of the running transactions, which an idle primary does not write.
NUDGE = "SELECT pg_log_standby_snapshot() on the primary"


def standby_findings(config: CdcConfig, found: Found) -> Iterator[Finding]:
    """Yield what is not as it should be, for a server that is a standby."""
    server = found.server
    if server.version < STANDBYS_SINCE:
        remedy = "name the primary, or name all servers and add target_session_attrs=read-write"
        problem = "this server is a standby: PostgreSQL decodes WAL on standbys from 16 on"
        yield Finding("error", "source.dsn", problem, remedy)
        return
    yield from _publication(config, found)
    if config.snapshot == "always":
        yield Finding(
            "error",
            "source.snapshot",
            "this server is a standby, where tables cannot be read again beside the stream",
            'set source.snapshot = "initial" or "when_needed", or name the primary in source.dsn',
        )
    if config.failover:
        yield Finding(
            "error",
            "source.failover",
            "this server is a standby, and a slot that was made on one is not kept on others",
            "set source.failover = false, or name the primary in source.dsn",
        )
    if config.signal_table:
        yield Finding(
            "warning",
            "source.signal_table",
            "this server is a standby, where tables cannot be read again beside the stream",
            "signals that ask for it are ignored; name the primary in source.dsn if they are needed",
        )
    if not server.feedback:
        yield Finding(
            "warning",
            "source.dsn",
            "this server is a standby with hot_standby_feedback off: the slot is lost when the primary vacuums its "
            "catalogue",
            "on the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf()",
        )
    if not server.upstream_slot:
        yield Finding(
            "warning",
            "source.dsn",
            "this server is a standby without primary_slot_name: the slot may be lost while it is disconnected from "
            "the primary",
            "on the primary: SELECT pg_create_physical_replication_slot('standby'); on the standby: ALTER SYSTEM SET "
            "primary_slot_name = 'standby'; SELECT pg_reload_conf()",
        )


def _publication(config: CdcConfig, found: Found) -> Iterator[Finding]:
    """Yield that the primary has to make a publication, or to add tables to it."""
    publication, name = found.publication, f'"{config.publication}"'
    if config.snapshot == "initial_only":
        return
    if publication is None:
        what = f"TABLE {table_list(found.to_publish).as_string()}"
        if config.publication_mode == "all_tables":
            what = "ALL TABLES"
        publish = ", ".join(published_operations(config.unpublished))
        options = f"publish_via_partition_root = true, publish = '{publish}'"
        yield Finding(
            "error",
            "source.publication",
            f"{config.publication} does not exist, and this server is a standby, which cannot create it",
            f"on the primary: CREATE PUBLICATION {name} FOR {what} WITH ({options})",
        )
        return
    lacking = publication.missing(found.to_publish)
    if lacking:
        yield Finding(
            "error",
            "source.publication",
            f"{config.publication} lacks tables, and this server is a standby, which cannot add them",
            f"on the primary: ALTER PUBLICATION {name} ADD TABLE {table_list(lacking).as_string()}",
        )
