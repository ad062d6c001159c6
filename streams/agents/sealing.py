"""Seal fields of events, columns of rows and contents of writes, with keys that are remembered or asked for."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from connectors.keys import NotSealedHere, UserKeys
from connectors.keys.contents import WriteSeal, opened_event
from connectors.keys.sealing import Keys, sealed_event, to_seal
from connectors.sinks.errors import SinkError
from schemas.events import AnyEvent, Event, SealedEvent
from streams.routing.changes import RowChange
from streams.routing.sensitive import SensitiveColumns
from streams.runtime.publisher import TryAgain


class Sealing:
    """Seals batches. What has nothing to seal costs a look at its type, or at the names of its table's columns.

    Args:
        keys: of users; they are closed with this.
        columns: of rows that are sealed.
        everything: whether the contents of writes are, too.
    """

    def __init__(self, keys: UserKeys, columns: SensitiveColumns, *, everything: bool = False) -> None:
        self._keys, self._columns, self._everything = keys, columns, everything
        # One, because the store is asked by one at a time; its own, because whoever waits for it needs no other's.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="users-keys")

    async def events(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return events with their sensitive fields sealed.

        Raises:
            TryAgain: the keys cannot be had; the batch has to be tried again.
        """
        users = to_seal(events)
        if not users:
            return events
        keys = await self._keys_of(users)
        masters = self._keys.masters
        return [sealed_event(event, keys, masters) for event in events]

    async def opened(self, events: Sequence[AnyEvent]) -> list[Event | NotSealedHere | None]:
        """Return what was sealed in events: None where nobody can read it any more, an error where it was altered.

        Those that are not sealed come back as they are. Raises as `events`.
        """
        users = list(dict.fromkeys(one.user_id for one in events if isinstance(one, SealedEvent)))
        keys: Keys = await self._keys_of(users) if users else {}
        return [_opened(event, keys) for event in events]

    async def changes(self, changes: Sequence[RowChange]) -> Sequence[RowChange]:
        """Return changes with the sensitive columns of their rows sealed. Raises as `events`."""
        users = self._columns.users(changes)
        if not users:
            return changes
        keys = await self._keys_of(users)
        return [self._columns.sealed(one, keys) for one in changes]

    async def writes(self, users: Iterable[str]) -> WriteSeal:
        """Return what seals the contents of writes about some persons. Raises as `events`."""
        about = list(dict.fromkeys(users))
        return WriteSeal(await self._keys_of(about) if self._everything and about else None)

    def close(self) -> None:
        """Let go of the keys; may be called twice."""
        self._asking.shutdown(cancel_futures=True)
        self._keys.close()

    async def _keys_of(self, users: Sequence[str]) -> Keys:
        known = self._keys.remembered(users)
        if known is not None:
            return known
        try:
            return await asyncio.get_running_loop().run_in_executor(self._asking, self._keys.get_or_create, users)
        except SinkError as error:
            raise TryAgain(str(error)) from error


def _opened(event: AnyEvent, keys: Keys) -> Event | NotSealedHere | None:
    try:
        return opened_event(event, keys)
    except NotSealedHere as error:
        return error
