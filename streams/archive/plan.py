"""What the options say about the archive."""

import re
from collections.abc import Callable, Iterable

from msgspec import Struct

from connectors.archive.names import Format
from connectors.storage.contract import Storage
from schemas.topics import Catalogue
from streams.archive.collecting import Bounds
from streams.object_storage import place_of
from streams.settings import Options


class Plan(Struct, frozen=True, kw_only=True):
    """Which topics are archived, and how.

    Attributes:
        include: expressions of whole topic names.
        exclude: expressions of names that are not archived all the same.
        form: how objects are written.
        bounds: when an object is complete.
        memory_bytes: of all objects that are being collected, about.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    form: Format
    bounds: Bounds
    memory_bytes: int

    def topics(self, there: Iterable[str]) -> list[str]:
        """Return those of a cluster's topics that are archived, in order; Kafka's own ones never are."""
        return sorted(
            name
            for name in there
            if not name.startswith("__")
            and any(re.fullmatch(one, name) for one in self.include)
            and not any(re.fullmatch(one, name) for one in self.exclude)
        )


def plan_of(options: Options) -> Plan:
    """Return what the options say; by default all events, changes of tables and what is only claimed are archived.

    Claims are where conflicts are settled: what is said in no change of a table is history nowhere else.
    """
    archive, catalogue = options.archive, options.catalogue()
    said = [catalogue.user_events, catalogue.gps_events, catalogue.urgent_events]
    said += [catalogue.claims] if options.conflicts.enabled else []
    default = [re.escape(topic.name) for topic in said]
    sources = [catalogue.cdc_prefix, *options.conflicts.sources]
    default += [re.escape(f"{catalogue.prefix}{source}.") + ".+" for source in sources]
    return Plan(
        include=tuple(archive.include or default),
        exclude=tuple(archive.exclude),
        form=archive.format,
        bounds=Bounds(records=archive.file_records, bytes=archive.file_mib * 1024 * 1024, seconds=archive.file_seconds),
        memory_bytes=archive.memory_mib * 1024 * 1024,
    )


def is_ours(plan: Plan, catalogue: Catalogue) -> Callable[[str], bool]:
    """Return what tells whether a topic of the archive is of this installation.

    Those are all of the catalogue and all that are archived, and those that once were, as long as their names begin
    with this installation's prefix.
    """
    known, prefix = {topic.name for topic in catalogue}, catalogue.prefix

    def tell(topic: str) -> bool:
        if topic in known or plan.topics([topic]):
            return True
        return bool(prefix) and topic.startswith(prefix)

    return tell


def group_of(options: Options) -> str:
    """Return the consumer group of the archive."""
    return f"{options.kafka.topic_prefix}travelos-archive"


def storage_of(options: Options) -> Storage:
    """Return where the archive lies, not open: in the S3 of the store `objects`, else in a folder.

    Raises:
        UnknownKind: the driver of S3 is not installed, or its options cannot be used.
    """
    return place_of(options, bucket=options.archive.bucket, prefix=options.archive.prefix).storage
