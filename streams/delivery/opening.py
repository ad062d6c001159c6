"""Sealed contents on their way into a store: opened just before it takes them, and what undoes them is sealed again."""

from collections.abc import Sequence

from msgspec import Struct

from connectors.keys import NotSealedHere, UserKeys
from connectors.keys.contents import opened_write, owners_of, sealed_write
from connectors.sinks.contract import SUPERSEDED, Outcome
from connectors.sinks.errors import Fatal
from schemas.persons import persons_of
from schemas.writes import BaseWrite
from streams.delivery.errors import ContentAltered, Refused


class Opening(Struct, frozen=True):
    """Opens the contents of writes with the keys of the persons whom they are about.

    Attributes:
        keys: of users; None: there are none, and sealed writes wait.
        everything: whether what undoes a write that came unsealed is sealed, too.
    """

    keys: UserKeys | None = None
    everything: bool = False

    def opened(self, writes: Sequence[BaseWrite]) -> list[BaseWrite | Outcome]:
        """Return each write with its content, or what becomes of it without its store.

        A content that nobody can read any more is superseded by the erasure of its person; one that was altered is
        refused.

        Raises:
            Unavailable: the keys cannot be had now.
            Fatal: there are none; names the option.
        """
        owners = owners_of(writes)
        if not owners:
            return list(writes)
        if self.keys is None:
            raise Fatal("writes are sealed and `keys.store` is off: name the store of keys that ingest has")
        keys = self.keys.get(owners)
        found: list[BaseWrite | Outcome] = []
        for write in writes:
            try:
                found.append(opened_write(write, keys) or SUPERSEDED)
            except NotSealedHere as error:
                found.append(Refused(str(error), ContentAltered))
        return found

    def sealed(self, undo: BaseWrite, write: BaseWrite) -> BaseWrite:
        """Return what undoes a write, sealed for the person of that write. Raises as `opened`."""
        owner = write.sealed.user_id if write.sealed is not None else self._owner(undo)
        if owner is None or self.keys is None:
            return undo
        return sealed_write(undo, owner, self.keys.get_or_create([owner]))

    def _owner(self, undo: BaseWrite) -> str | None:
        return min(persons_of(undo), default=None) if self.everything else None
