"""Look at everything that could keep the source from starting, on both sides, and create nothing."""

from collections.abc import Iterator

from connectors.cdc.catalog import has_keys, read_names
from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect
from connectors.cdc.errors import CdcError, PositionLost
from connectors.cdc.found import Finding, Found
from connectors.cdc.offsets import OffsetReader
from connectors.cdc.preflight import findings, look
from connectors.cdc.publisher import KEEP_WHOLE
from connectors.cdc.standby import STANDBYS_SINCE
from connectors.cdc.start import decide
from connectors.cdc.stop import Stop
from connectors.kafka.admin import TopicAdmin
from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, TopicsError

KAFKA_SECONDS = 10.0


def check(config: CdcConfig, kafka: Connection | None = None, *, creates_topics: bool = True) -> list[Finding]:
    """Return everything that is not as it should be, errors first. Creates nothing; an empty list when all is well.

    Args:
        config: of the source.
        kafka: how to reach the cluster, to look at topics and at the last offset too; None to leave that out.
        creates_topics: whether the source will create topics that are missing.
    """
    try:
        connection = connect(config.dsn, name=f"travelos cdc check {config.slot}")
    except CdcError as error:
        return [_finding(error, "nothing else could be looked at")]
    with connection:
        config = config.with_tables(read_names(connection)) if config.patterns else config
        found = look(connection, config)
    problems = findings(config, found)
    if kafka is not None and not (found.server.in_recovery and found.server.version < STANDBYS_SINCE):
        problems += _on_kafka(config, found, kafka, creates_topics=creates_topics)
    return sorted(problems, key=lambda finding: finding.level)


def _on_kafka(config: CdcConfig, found: Found, kafka: Connection, *, creates_topics: bool) -> Iterator[Finding]:
    try:
        existing = TopicAdmin(kafka, timeout=KAFKA_SECONDS).existing(config.all_topics)
    except (KafkaUnavailable, TopicsError) as error:
        yield Finding("error", "kafka.bootstrap", str(error), "nothing could be looked at on the brokers")
        return
    if not creates_topics:
        option = "kafka.create_topics"
        for topic in config.all_topics:
            if topic.name not in existing:
                yield Finding(
                    "error", option, f"it is off, and there is no topic {topic.name}", "travelos topics apply"
                )
        for table in found.tables:
            topic = config.topics[str(table)].name
            settings = existing[topic].config if topic in existing else None
            compacted = settings is not None and "compact" in settings.get("cleanup.policy", "")
            if compacted and not has_keys(table, config.filters):
                yield Finding(
                    "error",
                    option,
                    f"it is off, and {topic} is compacted, which takes no record of {table} because that has no key",
                    KEEP_WHOLE.format(topic=topic),
                )
    yield from _position(config, found, kafka, is_new=config.offsets.name not in existing)


def _position(config: CdcConfig, found: Found, kafka: Connection, *, is_new: bool) -> Iterator[Finding]:
    """Tell what the source would say to the last offset and the slot when it starts."""
    try:
        offset = None
        if not is_new:
            with OffsetReader(kafka, config.offsets.name) as offsets:
                offset = offsets.last(config.slot, Stop())
        decide(config, found, offset)
    except PositionLost as error:
        option, _, text = str(error).partition(" ")
        problem, _, remedy = text.rpartition("; ")
        yield Finding("error", option.rstrip(":"), problem, remedy)
    except CdcError as error:
        yield _finding(error, "the last offset could not be looked at")


def _finding(error: CdcError, remedy: str) -> Finding:
    option, colon, problem = str(error).partition(": ")
    return Finding("error", option if colon else "source", problem or str(error), remedy)
