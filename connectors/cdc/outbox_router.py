"""Where rows of the outbox belong, with topics that exist."""

from collections.abc import Callable, Sequence
from typing import Self

from connectors.cdc.created_topics import CreatedTopics
from connectors.cdc.outbox import Routed, refuse_update, routed
from connectors.cdc.outbox_options import Outbox
from connectors.cdc.session import Session
from connectors.cdc.tables import Table
from schemas.topics import Topic


class OutboxRouter:
    """Routes rows as the options say, and has each topic created before its first message.

    Args:
        outbox: the options.
        topics: creates them; None when nobody does.
        topic_of: describes a topic by its name; None when they are not ours to create.
    """

    def __init__(self, outbox: Outbox, topics: CreatedTopics | None, topic_of: Callable[[str], Topic] | None) -> None:
        self._outbox = outbox
        self._topics = topics
        self._topic_of = topic_of

    @classmethod
    def of(cls, session: Session) -> Self | None:
        """Return that of a session, None when it captures no outbox."""
        config = session.config
        return None if config.outbox is None else cls(config.outbox, session.topics, config.outbox_topic_of)

    def is_outbox(self, table: Table) -> bool:
        """Whether a table's rows are messages."""
        return str(table) == self._outbox.table

    def route(self, table: Table, encoded: Sequence[bytes]) -> Routed:
        """Return the message that a row holds.

        Args:
            table: the outbox.
            encoded: the row, each value as JSON.

        Raises:
            Misconfigured: the row says not where it belongs.
            KafkaRefused: its topic cannot be created.
            Disconnected: Kafka does not answer.
        """
        found = routed(self._outbox, table, encoded)
        if self._topics is not None and self._topic_of is not None:
            self._topics.ensure_some(self._topic_of(found.topic))
        return found

    def refuse_update(self) -> None:
        """Say that a row was updated, which sends nothing.

        Raises:
            Fatal: the options want that.
        """
        refuse_update(self._outbox)
