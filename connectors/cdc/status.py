"""How far the source is, as the server and Kafka have it; for somebody outside of it."""

from contextlib import closing

from msgspec import Struct

from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect
from connectors.cdc.offsets import CdcOffset, OffsetReader
from connectors.cdc.slot import SlotState, read_slot
from connectors.cdc.stop import Stop
from connectors.kafka.connection import Connection


class Status(Struct, frozen=True):
    """The slot and the last offset; None for what does not exist."""

    name: str
    slot: SlotState | None
    offset: CdcOffset | None


def read_status(config: CdcConfig, kafka: Connection) -> Status:
    """Return the state of the slot and of its offset.

    Raises:
        Disconnected: Postgres or Kafka does not answer.
        Fatal: it does not let us in.
    """
    with closing(connect(config.dsn, name=f"travelos cdc status {config.slot}")) as connection:
        slot = read_slot(connection, config.slot)
    with OffsetReader(kafka, config.offsets.name) as offsets:
        return Status(config.slot, slot, offsets.last(config.slot, Stop()))
