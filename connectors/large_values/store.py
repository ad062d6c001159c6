"""Put values under their hash, and get them back whole."""

import hashlib
import threading
from contextlib import suppress

from connectors.storage import LostRace, Storage
from schemas.claims import Claim, InvalidClaim, read_claim
from schemas.headers import Headers
from schemas.wire import Unframe

OVER_BYTES = 900_000  # Kafka's own limit is 1,048,588 of a whole batch
MOST_BYTES = 8 * 1024 * 1024  # of what follows from an event, Kafka's topics take 10 MiB
LOCAL = "local"  # instead of a bucket's name, where a folder takes its place


class ValueTooLarge(ValueError):  # noqa: N818 - says what the value is
    """A value is larger than anybody would fetch. Nothing was put."""


class LargeValues:
    """The large values of an installation; may be used from several threads.

    Args:
        storage: where they lie; opened at the first use, which may then raise what `Storage.open` does.
        bucket: its name, which claims carry. A claim to another one is not redeemed, whoever wrote it.
        over_bytes: values that are larger go there.
        most_bytes: even larger ones are neither put nor fetched.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        bucket: str = LOCAL,
        over_bytes: int = OVER_BYTES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._storage = storage
        self._bucket = bucket
        self.over_bytes = over_bytes
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._is_open = False

    def put(self, data: bytes, content_type: str) -> Claim:
        """Put a value, unless it is there already, and return the claim to it.

        When this returns the object survives a power failure.

        Raises:
            ValueTooLarge: it has more than `most_bytes`.
            Unavailable: the store does not answer.
            Fatal: it never will like this; names the option.
        """
        if len(data) > self._most_bytes:
            raise ValueTooLarge(f"the value has {len(data):,} bytes, more than {self._at_most()}")
        digest = hashlib.sha256(data).hexdigest()
        claim = Claim(bucket=self._bucket, key=_key(digest), size=len(data), sha256=digest, content_type=content_type)
        with suppress(LostRace):  # somebody published the same bytes
            self._opened().put(claim.key, data, content_type)
        return claim

    def get(self, claim: Claim) -> bytes:
        """Return the value that a claim is to.

        Raises:
            InvalidClaim: it is missing, damaged, too large, or elsewhere.
            Unavailable: the store does not answer.
            Fatal: it never will like this; names the option.
        """
        if claim.bucket != self._bucket:
            raise InvalidClaim(
                f"the claim is to the bucket {claim.bucket!r}, large values are in {self._bucket!r} "
                "(large_values.bucket, stores.objects.bucket)"
            )
        if claim.key != _key(claim.sha256):  # a claim is no way to read other objects of the bucket
            raise InvalidClaim("the claim's `key` does not follow from its `sha256`")
        if claim.size > self._most_bytes:
            raise InvalidClaim(f"the claim is to {claim.size:,} bytes, more than {self._at_most()}")
        found = self._opened().get(claim.key)
        if found is None:
            raise InvalidClaim(f"the object {claim.key} is missing: it was removed before its record was read")
        if len(found.data) != claim.size or hashlib.sha256(found.data).hexdigest() != claim.sha256:
            raise InvalidClaim(f"the object {claim.key} is not what was put there: its SHA-256 differs")
        return found.data

    def redeeming(self, unframe: Unframe) -> Unframe:
        """Return what redeems the claim of a record that carries one, and then does as `unframe` does.

        It may raise what `get` does.
        """

        def redeemed(value: bytes, headers: Headers = ()) -> bytes:
            claim = read_claim(value, headers)
            return unframe(value if claim is None else self.get(claim), headers)

        return redeemed

    def close(self) -> None:
        """Close the connections; may be called twice."""
        with self._lock:
            self._storage.close()
            self._is_open = False

    def _at_most(self) -> str:
        return f"the {self._most_bytes:,} of large_values.max_bytes"

    def _opened(self) -> Storage:
        with self._lock:
            if not self._is_open:
                self._storage.open()
                self._is_open = True
        return self._storage


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
