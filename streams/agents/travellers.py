"""The travellers' states in a table, as enrichment wants them."""

from streams.enrichment.travellers import TravellerState
from streams.runtime.records import Record
from streams.runtime.tables import TableView


class TravellerStates:
    """A batch's view of the table `travellers`.

    A state that changes is written with the position of the traveller's last record in the batch, so that a replay of
    any of them is recognised.
    """

    def __init__(self, view: TableView[TravellerState]) -> None:
        self._view = view
        self._last: dict[str, Record] = {}

    def reached(self, user_id: str, record: Record) -> bool:
        """Note a record of a traveller; whether the stored state has it already."""
        self._last[user_id] = record
        return record.offset <= self._view.position(user_id, record.topic)

    def get(self, user_id: str, /) -> TravellerState | None:
        """Return the state of a traveller."""
        return self._view.get(user_id)

    def __setitem__(self, user_id: str, state: TravellerState, /) -> None:
        self._view.put(user_id, state, self._last[user_id])
