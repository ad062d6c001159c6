"""Has the deliveries do what operators have written to the topic of controls, now and after every restart."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from schemas.controls import InvalidControl, decode_control
from schemas.writes import StoreName

log = structlog.get_logger(__name__)


class Pausable(Protocol):
    """A delivery, as far as it is controlled."""

    def pause(self, why: str) -> None: ...  # noqa: D102
    def resume(self) -> None: ...  # noqa: D102


class Controls:
    """Applies the records of the topic; see `streams.reference.reader`.

    Args:
        deliveries: those of this worker. Controls of other stores, and what cannot be read, are left alone.
    """

    def __init__(self, deliveries: Mapping[StoreName, Pausable]) -> None:
        self._deliveries = deliveries

    def apply(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Pause and resume as the records say, in their order; a null value resumes."""
        named = {store.encode(): delivery for store, delivery in self._deliveries.items()}
        for key, value in pairs:
            delivery = named.get(key)
            if delivery is None:
                continue
            try:
                control = None if value is None else decode_control(value)
            except InvalidControl as error:
                log.warning("control_not_readable", store=key.decode(), error=str(error))
                continue
            if control is not None and control.paused:
                reason = f": {control.why}" if control.why else ""
                delivery.pause(f"paused by {control.by}{reason}")
            else:
                delivery.resume()
