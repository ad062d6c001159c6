"""What the items of a bulk response mean. Pure.

Source: https://www.elastic.co/guide/en/elasticsearch/reference/current/docs-bulk.html, "Response body".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome, Rejected, Retry
from connectors.sinks.errors import BatchTooLarge, Fatal, SinkError, Unavailable

PARTS = "errors,items.*.status,items.*.error.type,items.*.error.reason"  # all that is asked for of a response
# While an index is blocked (a reindex, a full disk) or its alias is being made, it takes nothing, but soon will.
PASSING = frozenset({"cluster_block_exception", "index_not_found_exception", "index_closed_exception"})
_CONFLICT, _TOO_MANY = 409, 429
BLOCKED_SECONDS = 1.0

# A node lends a request some of its memory (indexing_pressure.memory.limit); this one asks for more than there is.
_PRESSURE = re.compile(r"operation_bytes=(\d+), max_\w+bytes=(\d+)")


def outcome(item: Mapping[str, Any]) -> Outcome:
    """Return what became of one document: the item's only value, with `status` and perhaps `error`."""
    (result,) = item.values()
    status: int = result["status"]
    if status < 300:
        return APPLIED
    if status == _CONFLICT:
        return SUPERSEDED
    error: Mapping[str, str] = result.get("error") or {}
    kind = error.get("type", "unknown")
    if status == _TOO_MANY or status >= 500:
        return Retry(f"Elasticsearch: {status} {kind}")
    if kind in PASSING:
        return Retry(f"Elasticsearch: {kind}", BLOCKED_SECONDS)
    return Rejected(f"Elasticsearch: {kind}: {_without_values(error.get('reason', ''))}")


def outcomes(response: Mapping[str, Any], count: int) -> list[Outcome]:
    """Return what became of all documents of a response.

    Raises:
        Unavailable: none was taken, and all may be later.
        BatchTooLarge: none was taken, because together they need more memory than a node lends.
        Fatal: the response is not one to our request.
    """
    if not response["errors"]:
        return [APPLIED] * count
    items: Sequence[Mapping[str, Any]] = response["items"]
    if len(items) != count:
        raise Fatal(f"Elasticsearch answered with {len(items)} items to {count}: is there a proxy between?")
    found = [outcome(item) for item in items]
    waiting = [one for one in found if isinstance(one, Retry)]
    if len(waiting) == count:
        raise _unavailable(waiting, items)
    return found


def _unavailable(waiting: Sequence[Retry], items: Sequence[Mapping[str, Any]]) -> SinkError:
    for item in items:
        (result,) = item.values()
        needs = _PRESSURE.search(result.get("error", {}).get("reason", ""))
        if needs and int(needs[1]) > int(needs[2]):
            return BatchTooLarge("the request needs more memory than indexing_pressure.memory.limit lends")
    return Unavailable(waiting[0].reason, max((one.after or 0.0 for one in waiting), default=0.0) or None)


def _without_values(reason: str) -> str:
    """Return a reason without the part of the document that it quotes."""
    return reason.split(" Preview of field's value:", 1)[0]
