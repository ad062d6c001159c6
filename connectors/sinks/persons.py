"""What an erasure asks of a store beside the contract. Both are optional: a store that cannot is asked by entities."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)
W_co = TypeVar("W_co", bound=BaseWrite, covariant=True)

NO_LINE = ""  # instead of a source: the store holds it without a version, as a node that only relations have named
_ASKED = datetime.fromtimestamp(0, UTC)


@runtime_checkable
class Attributing(Protocol[W_co]):
    """A sink that can find what it holds of a person."""

    def of_user(self, user: str) -> Sequence[W_co]:
        """Return a delete of each entity of a person, for each source that told of it; none: it holds nothing of them.

        Their versions are those that the store holds. This looks at the data, as `held` does.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


class Purge(Struct, frozen=True, kw_only=True):
    """What became of deleted data in the files of a store; it stands in the certificate of an erasure.

    Attributes:
        forced: what the store was made to do; empty: there is no such thing, or it refused.
        keeps: what its files may still contain of deleted data, and until when; empty: nothing.
    """

    forced: str = ""
    keeps: str = ""


@runtime_checkable
class Purging(Protocol):
    """A sink that knows what its files still contain of what was deleted."""

    def purge(self) -> Purge:
        """Have what was deleted removed from the files, too, as far as the store can be made to.

        It may rewrite them, and make writers wait meanwhile. What the store does not let us do (a right that is
        missing) is no error: it is told as kept.

        Raises:
            Unavailable: not now; it may be tried again.
        """
        ...


def delete_of(kind: type[W], entity: str, source: str, version: int, /, **places: Any) -> W:
    """Return what `of_user` returns of an entity.

    Args:
        kind: type of the store's writes.
        entity: its name.
        source: of the version line; `NO_LINE`: there is none.
        version: that the store holds.
        places: the fields that a delete needs to find it.
    """
    return kind(entity=entity, version=version, source=source, event_id="", occurred_at=_ASKED, op="delete", **places)
