"""What a look at the server finds, and what there is to say about it."""

from typing import Literal, NamedTuple

from msgspec import Struct

from connectors.cdc.catalog import ServerInfo, TableInfo
from connectors.cdc.publication import Publication
from connectors.cdc.row_filters import FilterState
from connectors.cdc.slot import SlotState


class Finding(Struct, frozen=True):
    """Something that is not as it should be: an error stops the source, a warning does not."""

    level: Literal["error", "warning"]
    option: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.option}: {self.problem}; {self.remedy}"


class Found(NamedTuple):
    """What there is on the server.

    Attributes:
        server: the server and our rights on it.
        tables: those of the captured tables that exist.
        publication: None when there is none.
        slot: None when there is none.
        row_filters: what the server makes of the row filters of these tables.
        signal_table: None when there is none, or none is wanted.
    """

    server: ServerInfo
    tables: list[TableInfo]
    publication: Publication | None
    slot: SlotState | None
    row_filters: tuple[FilterState, ...] = ()
    signal_table: TableInfo | None = None

    @property
    def to_publish(self) -> list[TableInfo]:
        """The tables that the stream needs: the captured ones, and that of the signals."""
        signals = self.signal_table
        if signals is None or any(table.oid == signals.oid for table in self.tables):
            return self.tables
        return [*self.tables, signals]
