"""What tells that the brokers have records, once for all that were sent together."""

from collections.abc import Callable

from confluent_kafka import KafkaError, Message


class Receipt:
    """The delivery report of any number of records: calls `acknowledged` once, when the brokers have all of them.

    Kafka's client holds its callback for each record that is on its way, and lets go of it when the record is
    delivered or given up. So a receipt ends with the last of its records, provided that whoever sends lets go of it as
    well. Called for each record instead, with a message made for it, a report took a twelfth of the source's time.

    Args:
        acknowledged: called when it ends; must not raise.
        holds: whether ending means that the brokers have the records. Not after one was given up, or all were.
        given_up: called for a record that the brokers did not take, before the receipt ends.
    """

    __slots__ = ("_acknowledged", "_given_up", "_holds")

    def __init__(
        self,
        acknowledged: Callable[[], None],
        holds: Callable[[], bool],
        given_up: Callable[[KafkaError, Message], None],
    ) -> None:
        self._acknowledged = acknowledged
        self._holds = holds
        self._given_up = given_up

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of one record; the client is set to report none but those that it gives up."""
        if error is not None:
            self._given_up(error, message)

    def __del__(self) -> None:
        if self._holds():
            self._acknowledged()
