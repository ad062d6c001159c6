"""What a bucket with versioning keeps of objects that were deleted."""

from collections.abc import Iterator

from connectors.sinks.errors import Fatal
from connectors.sinks.persons import Purge
from connectors.sinks.s3.client import Bucket, Version
from connectors.sinks.s3.errors import RefusedError
from connectors.sinks.s3.objects import OURS

NOT_ALLOWED = "older versions of deleted objects, if the bucket has versioning, as long as its rules say (not allowed)"


def remove_old_versions(bucket: Bucket, prefix: str) -> Purge:
    """Remove the older versions of what was deleted, and of what only the sink has made; those of living objects stay.

    Raises:
        Unavailable: the server does not answer.
    """
    try:
        if not bucket.versioned():
            return Purge()
        bucket.remove_versions(list(_superfluous(bucket, prefix)))
    except (Fatal, RefusedError):  # the sink itself works without these rights
        return Purge(keeps=NOT_ALLOWED)
    return Purge(forced="older versions of deleted objects removed")


def _superfluous(bucket: Bucket, prefix: str) -> Iterator[Version]:
    deleted: dict[str, bool] = {}
    for one in bucket.old_versions(prefix):
        if one.key not in deleted:
            deleted[one.key] = one.key.startswith(prefix + OURS) or bucket.state(one.key).deleted
        if deleted[one.key]:
            yield one
