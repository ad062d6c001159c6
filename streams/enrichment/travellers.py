"""What is remembered of a traveller from event to event: the active trip, and the track."""

import msgspec
from msgspec import Struct

from schemas.events import Event, TripEnded, TripStarted
from streams.enrichment.track import GpsState
from streams.erasure.hold import Erased

MAX_ENDS = 16


class TripState(Struct, frozen=True, array_like=True, gc=False):
    """The last trip started, by version, and the ends that matter.

    `ends` holds, by trip, the versions of ends that are newer than the last start: that of the trip itself, and those
    of trips whose start has not come yet. At most 16, the newest.
    """

    trip_id: str | None = None
    version: int = 0
    ends: dict[str, int] = {}

    @property
    def ended(self) -> bool:
        """Whether the last trip started is over."""
        return self.trip_id is None or self.trip_id in self.ends


class TravellerState(Struct, frozen=True, array_like=True, gc=False):
    """The state of one traveller, a value of the table `travellers`. A new field goes last and has a default."""

    trip: TripState = TripState()
    gps: GpsState | None = None
    erased: Erased | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[TravellerState] = msgspec.msgpack.Decoder(TravellerState)

NEW = TravellerState()


def encode_state(state: TravellerState) -> bytes:
    """Write a state as msgpack; `decode_state` gives back an equal one."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> TravellerState:
    """Read a state.

    Raises:
        msgspec.MsgspecError: the bytes are no state.
    """
    return _decoder.decode(data)


def apply_trip(state: TripState, event: TripStarted | TripEnded) -> TripState:
    """Return the state after a start or an end, the same one when the event changes nothing.

    What counts is the order of versions, not of arrival: any order of the same events leads to the same state. The
    trip with the newest start is the active one unless an end of it is as new or newer. An end of another trip changes
    nothing about it; it is remembered, so that a start that comes after its own end opens nothing.
    """
    if isinstance(event, TripEnded):
        if event.version < state.version or event.version <= state.ends.get(event.trip_id, -1):
            return state
        return TripState(state.trip_id, state.version, _newest({**state.ends, event.trip_id: event.version}))
    if (event.version, event.trip_id) <= (state.version, state.trip_id or ""):
        return state
    ends = {trip: version for trip, version in state.ends.items() if version >= event.version}
    return TripState(event.trip_id, event.version, ends)


def active_trip(state: TripState, event: Event) -> str | None:
    """Return the trip that is active after an event; None as well for an event that is older than the trip's start."""
    return state.trip_id if not state.ended and event.version >= state.version else None


def _newest(ends: dict[str, int]) -> dict[str, int]:
    if len(ends) <= MAX_ENDS:
        return ends
    oldest = min(ends, key=lambda trip: (ends[trip], trip))
    return {trip: version for trip, version in ends.items() if trip != oldest}
