"""An archive in a bucket of S3."""

from collections.abc import Iterator

from connectors.archive.storage import Found, LostRace
from connectors.sinks.errors import Fatal
from connectors.sinks.s3.client import Bucket
from connectors.sinks.s3.errors import LostRaceError, RefusedError
from connectors.sinks.s3.objects import NOTHING, Body, State
from connectors.sinks.s3.options import S3Options


class S3Storage:
    """Objects below a prefix; see `Storage`. Encryption and storage class are those of the options."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._bucket = Bucket(options)

    def open(self) -> None:
        """Connect, and find or make the bucket."""
        self._bucket.close()
        self._bucket.open()

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the objects that begin like this."""
        own = self._options.prefix
        return (listed.key.removeprefix(own) for listed in self._bucket.listed(own + prefix))

    def get(self, path: str) -> Found | None:
        """Return an object."""
        found = self._bucket.get_tagged(self._options.prefix + path)
        return None if found is None else Found(*found)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self._bucket.state(self._options.prefix + path).etag is not None

    def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
        """Write an object with If-None-Match or If-Match."""
        state = NOTHING if over is None else State(over)
        try:
            return self._bucket.put(self._options.prefix + path, Body(data, content_type, {}), state)
        except LostRaceError as error:
            raise LostRace(path) from error
        except RefusedError as error:
            raise Fatal(f"S3 does not take an object of the archive: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._bucket.close()
