"""The tables that match the patterns, also those that are created while the source works."""

import structlog
from msgspec import structs
from psycopg import Connection

from connectors.cdc.catalog import read_names
from connectors.cdc.config import CdcConfig
from connectors.cdc.found import Finding
from connectors.cdc.preflight import findings, look
from connectors.cdc.table_findings import shared_topics
from schemas.topics import Topic

log = structlog.get_logger(__name__)


class MatchingTables:
    """Finds the tables to capture. The constructor does no I/O.

    What matches at the first look is captured or refused with all else. A table that comes later and cannot be captured
    is left out with a warning, until it can be: somebody who creates one must not end the source.

    Args:
        config: with the tables that are named.
    """

    def __init__(self, config: CdcConfig) -> None:
        self._named = config
        self._last: CdcConfig | None = None
        self._warned: set[Finding] = set()

    def look(self, connection: Connection) -> CdcConfig:
        """Return the configuration with every table that is captured now.

        Raises:
            Fatal, Disconnected: the catalogue cannot be read.
        """
        if not self._named.patterns:
            return self._named
        found = self._named.with_tables(read_names(connection))
        last = self._last
        if last is not None:
            topics = {table: topic for table, topic in found.topics.items() if table in last.topics}
            for table, topic in found.topics.items():
                rest = structs.replace(found, topics=topics)
                if table not in topics and self._can_be_captured(connection, rest, table, topic):
                    topics[table] = topic
            found = structs.replace(found, topics=topics)
            if gone := [table for table in last.topics if table not in topics]:
                log.info("tables_gone", tables=gone)
        self._last = found
        return found

    def _can_be_captured(self, connection: Connection, config: CdcConfig, table: str, topic: Topic) -> bool:
        """Whether a table can be captured beside those of a configuration; why not is told once."""
        alone = structs.replace(config, topics={table: topic}, outbox=None, signal_table="")
        problems = [*findings(alone, look(connection, alone)), *shared_topics({**config.topics, table: topic})]
        errors = [one for one in problems if one.level == "error"]
        for error in errors:
            if error not in self._warned:
                self._warned.add(error)
                log.warning(
                    "table_is_not_captured",
                    table=table,
                    option=error.option,
                    problem=error.problem,
                    remedy=error.remedy,
                )
        return not errors
