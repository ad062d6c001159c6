"""Objects in a bucket of S3."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from connectors.sinks.errors import Fatal
from connectors.sinks.s3.client import Bucket
from connectors.sinks.s3.errors import OPTION, LostRaceError, RefusedError
from connectors.sinks.s3.objects import NOTHING, Body, State
from connectors.sinks.s3.options import S3Options
from connectors.storage.contract import Found, LostRace


class S3Storage:
    """Objects below a prefix; see `Storage`. Encryption and storage class are those of the options.

    Args:
        options: of the bucket.
        option: what they are called in `travelos.toml`, for messages.
    """

    def __init__(self, options: S3Options, option: str = OPTION) -> None:
        self._options = options
        self._option = option
        self._bucket = Bucket(options)

    def open(self) -> None:
        """Connect, and find or make the bucket."""
        self._bucket.close()
        with self._named():
            self._bucket.open()

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the objects that begin like this."""
        own = self._options.prefix
        with self._named():
            for listed in self._bucket.listed(own + prefix):
                yield listed.key.removeprefix(own)

    def get(self, path: str) -> Found | None:
        """Return an object."""
        with self._named():
            found = self._bucket.get_tagged(self._options.prefix + path)
        return None if found is None else Found(*found)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        with self._named():
            return self._bucket.state(self._options.prefix + path).etag is not None

    def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
        """Write an object with If-None-Match or If-Match."""
        state = NOTHING if over is None else State(over)
        try:
            with self._named():
                return self._bucket.put(self._options.prefix + path, Body(data, content_type, {}), state)
        except LostRaceError as error:
            raise LostRace(path) from error

    def remove(self, paths: Sequence[str]) -> None:
        """Remove objects."""
        if paths:
            with self._named():
                self._bucket.remove([self._options.prefix + path for path in paths])

    def close(self) -> None:
        """Close the connections."""
        self._bucket.close()

    @contextmanager
    def _named(self) -> Generator[None]:
        """Name the options as the user knows them; what S3 refuses for good is fatal here."""
        try:
            yield
        except RefusedError as error:
            raise Fatal(f"S3 refuses a request: {error}; see `{self._option}`") from error
        except Fatal as error:
            raise Fatal(str(error).replace(OPTION, self._option)) from error
