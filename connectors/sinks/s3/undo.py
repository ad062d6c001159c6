"""What would undo a write of an object: the object itself while it is small, else a copy that S3 makes of it.

A receipt has to carry what is undone, and a video does not fit into a record. A copy costs one request whatever the
size, nothing passes through the worker, and unlike a version id it needs no bucket with versioning, which would keep
every photo that was ever erased. Each copy is named at random, so nothing that is being removed is named anew.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from msgspec import structs

from connectors.sinks.s3.client import Bucket, Found
from connectors.sinks.s3.objects import OURS, REFERENCE_TYPE, Unfit, metadata_of
from schemas.writes import ObjectWrite

INLINE_BYTES = 64 * 1024
_SCHEME = "travelos-undo:"
_SWEEP_SECONDS = 3_600.0


class Copies:
    """Copies of objects that may have to come back, below `.travelos/undo/`. May be called from several threads.

    Args:
        bucket: open while this is used.
        prefix: before all keys.
        hours: how long a copy is kept.
    """

    def __init__(self, bucket: Bucket, prefix: str, hours: int) -> None:
        self._bucket = bucket
        self._folder = f"{prefix}{OURS}undo/"
        self._kept = timedelta(hours=hours)
        self._swept = 0.0

    def undo_of(self, write: ObjectWrite, key: str, found: Found, *, whole: bool = False) -> ObjectWrite:
        """Return the write that brings back what lies under a key now.

        Args:
            write: any of its entity.
            key: where it lies.
            found: what was found there.
            whole: have the bytes in it, however many, and no reference to a copy.

        Raises:
            LostRaceError: something else lies there by now.
        """
        known = found.state.versions.get(write.source)
        content: dict[str, object] = {"content_type": found.content_type, "data": None, "reference": None}
        if found.size > INLINE_BYTES and not whole:
            content["reference"] = self._copied(key, found)
        else:
            content |= _content(self._bucket.get_same(key, found.etag), found.content_type)
        return structs.replace(
            write,
            **content,
            metadata=metadata_of(found.metadata),
            op="upsert",
            version=0 if known is None else known.version,
            undo=False,
        )

    def restored(self, write: ObjectWrite) -> ObjectWrite:
        """Return a write with the bytes of the copy that it names.

        Raises:
            Unfit: the copy is gone.
        """
        data = self._bucket.get(self._folder + (write.reference or "").removeprefix(_SCHEME))
        if data is None:
            raise Unfit(
                "`reference`: the copy that would undo this is gone; `stores.objects.undo_hours` keeps it longer"
            )
        return structs.replace(write, data=data, reference=None)

    def sweep(self, now: float | None = None) -> None:
        """Remove the copies that are too old, at most once an hour."""
        now = time.monotonic() if now is None else now
        if self._swept and now - self._swept < _SWEEP_SECONDS:
            return
        self._swept = now
        before = datetime.now(UTC) - self._kept
        self._bucket.remove([one.key for one in self._bucket.listed(self._folder) if one.modified < before])

    def any(self) -> bool:
        """Whether there are copies."""
        return next(iter(self._bucket.listed(self._folder)), None) is not None

    def _copied(self, key: str, found: Found) -> str:
        name = uuid4().hex
        self._bucket.copy(key, found.etag, self._folder + name)
        return _SCHEME + name


def names_copy(write: ObjectWrite) -> bool:
    """Whether a write brings back what a copy holds."""
    scheme, name = (write.reference or "")[: len(_SCHEME)], (write.reference or "")[len(_SCHEME) :]
    if scheme != _SCHEME:
        return False
    try:
        return UUID(name).hex == name
    except ValueError:
        return False


def _content(data: bytes, content_type: str) -> Mapping[str, object]:
    if content_type == REFERENCE_TYPE and data.endswith(b"\r\n") and data.count(b"\n") == 1:
        return {"reference": data[:-2].decode(), "content_type": "application/octet-stream"}
    return {"data": data}
