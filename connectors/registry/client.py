"""Take values out of Confluent's wire format, with the registry's word that they are JSON."""

import importlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from schemas.headers import Headers
from schemas.wire import (
    SchemaId,
    Unframe,
    UnknownSchema,
    UnsupportedSchema,
    named,
    read_frame,
    unframe_without_registry,
)

MAX_ID = 2**31 - 1  # registries count in a Java int; above it they answer as to a wrong address
SCHEMA_NOT_FOUND = 40403  # the registry's own code; a bare 404 may as well be a proxy's
UNKNOWN_FOR_SECONDS = 30.0
UNKNOWN_REMEMBERED = 10_000


class RegistryError(Exception):
    """The registry did not say what a schema is. The record is not to blame: it has to be kept and tried again."""


class RegistryUnavailable(RegistryError):  # noqa: N818 - reads as a state, which it is
    """The registry does not answer, or answers that it cannot now."""


class RegistryRefused(RegistryError):  # noqa: N818
    """The registry will not answer like this; the message names the option and the fix."""


def unframer(url: str, username: str = "", password: str = "") -> Unframe:
    """Return what takes values out of their frames; without a `url`, framed values are refused."""
    return RegistryClient(url, username, password).unframe if url else unframe_without_registry


class RegistryClient:
    """Looks schemas up by id, each one once; ids that the registry does not know are asked for again after a while.

    Not for several threads at once. The constructor asks nobody.

    Args:
        url: base URL; several, separated by commas, are tried in order.
        username: for basic authentication; empty for none.
        password: for basic authentication.
        timeout: of one request in seconds; a request that fails is sent three times in all.
        now: a clock in seconds that is never set back.

    Raises:
        ImportError: the extra `registry` is not installed.
    """

    def __init__(
        self,
        url: str,
        username: str = "",
        password: str = "",
        *,
        timeout: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError  # noqa: PLC0415
        except ImportError as error:
            raise ImportError(
                "registry.url is set, which needs the extra `registry`: pip install 'travelos-streams[registry]'"
            ) from error
        config: dict[str, Any] = {"url": url, "timeout": timeout, "max.retries": 2, "retries.wait.ms": 100}
        if username:
            config["basic.auth.user.info"] = f"{username}:{password}"
        self._client = SchemaRegistryClient(config)
        self._refusal = SchemaRegistryError
        self._no_answer = _transport_errors()
        self._address = re.sub(r"//[^/@]*@", "//", url)
        self._now = now
        self._unknown: OrderedDict[SchemaId, float] = OrderedDict()  # until when not to ask again

    def unframe(self, value: bytes, headers: Headers = ()) -> bytes:
        """Return the JSON payload of a value; one without a frame as it is.

        Raises:
            InvalidFrame: the record is to blame (incomplete frame, unknown id, not JSON); it will not become better.
            RegistryUnavailable: ask again later.
            RegistryRefused: ask again when somebody has changed the options.
        """
        frame = read_frame(value, headers)
        if frame is None:
            return value
        schema_type = self._schema_type(frame.schema_id)
        if schema_type != "JSON":
            raise UnsupportedSchema(frame.schema_id, schema_type)
        return frame.payload

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _schema_type(self, schema_id: SchemaId) -> str:
        if self._unknown.get(schema_id, 0.0) > self._now() or (isinstance(schema_id, int) and schema_id > MAX_ID):
            raise UnknownSchema(schema_id)
        try:
            if isinstance(schema_id, int):
                schema = self._client.get_schema(schema_id)
            else:
                schema = self._client.get_schema_by_guid(str(schema_id))
        except self._refusal as error:
            self._interpret(schema_id, error.http_status_code, error.error_code)
        except self._no_answer as error:
            raise RegistryUnavailable(f"registry.url {self._address} does not answer: {error}") from error
        except (ValueError, TypeError, AttributeError) as error:  # an answer of 200 that is no schema
            raise RegistryRefused(f"registry.url {self._address} is no Schema Registry: {error}") from error
        return schema.schema_type or "AVRO"  # which registries leave out

    def _interpret(self, schema_id: SchemaId, status: int, code: int) -> NoReturn:
        """Raise what an answer other than 200 means."""
        answer = f"registry.url {self._address} answered HTTP {status}"
        if code == SCHEMA_NOT_FOUND:
            self._remember_unknown(schema_id)
            raise UnknownSchema(schema_id) from None
        if status in (401, 403):
            raise RegistryRefused(f"{answer}: check registry.username and registry.password") from None
        if status in (408, 429) or status >= 500:
            raise RegistryUnavailable(f"{answer} when asked for {named(schema_id)}") from None
        raise RegistryRefused(f"{answer} when asked for {named(schema_id)}: is it a Schema Registry?") from None

    def _remember_unknown(self, schema_id: SchemaId) -> None:
        self._unknown[schema_id] = self._now() + UNKNOWN_FOR_SECONDS
        self._unknown.move_to_end(schema_id)
        if len(self._unknown) > UNKNOWN_REMEMBERED:
            self._unknown.popitem(last=False)


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return how a request can fail without an answer. The driver uses httpx2 where it is installed, else httpx."""
    found: list[type[Exception]] = []
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).TransportError)
        except ImportError:
            continue
    return tuple(found)
