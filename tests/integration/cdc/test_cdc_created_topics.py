"""Topics that the source creates, on a broker that knows settings of topics."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop, check
from connectors.cdc.errors import KafkaRefused
from connectors.cdc.outbox_options import Outbox
from connectors.kafka.admin import TopicAdmin, ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.kafka import KafkaServer
from schemas.topics import Catalogue, Topic

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]
Settings = Callable[[Topic], tuple[int, str]]


@pytest.fixture
def kafka(broker: KafkaServer) -> Connection:
    return Connection(bootstrap=broker.bootstrap)


@pytest.fixture
def start(kafka: Connection, running: Callable[[Source], Stop]) -> Start:
    """Run sources that may create topics."""

    def begin(config: CdcConfig) -> tuple[Source, Stop]:
        source = Source(config, kafka, create_topics=partial(ensure_topics, kafka))
        return source, running(source)

    return begin


@pytest.fixture
def settings(kafka: Connection) -> Settings:
    """Return the partitions and the cleanup policy of a topic."""

    def read(topic: Topic) -> tuple[int, str]:
        found = TopicAdmin(kafka).existing([topic])[topic.name]
        assert found.config is not None
        return found.partitions, found.config["cleanup.policy"]

    return read


@pytest.mark.parametrize("exists", [False, True])
def test_a_table_without_a_key_is_captured_to_a_topic_that_is_kept_whole(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    settings: Settings,
    exists: bool,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE visits (place text)")
    sql("CREATE TABLE users (id int PRIMARY KEY)")
    sql("ALTER TABLE visits REPLICA IDENTITY FULL")
    sql("INSERT INTO visits VALUES ('here'), ('here')")
    config = configure("public.visits", "public.users")  # which creates them as if all had keys
    if not exists:
        fresh = Catalogue(prefix=f"fresh.{config.slot}.").changes_of
        config = structs.replace(config, topics={table: fresh(table) for table in config.topics})
    [finding] = check(config)
    assert finding.level == "warning"
    source, _ = streaming(config)
    assert settings(config.topics["public.visits"]) == (4, "delete")
    assert settings(config.topics["public.users"]) == (4, "compact")
    sql("UPDATE visits SET place = 'there' WHERE ctid = (SELECT min(ctid) FROM visits)")
    sql("DELETE FROM visits")
    caught_up(source)
    found = messages(config, "public.visits")
    assert len(found) == 5
    assert {message.key() for message in found} == {None}


def test_a_compacted_topic_that_is_not_ours_to_alter_is_named_with_the_command_that_mends_it(
    sql: Sql, kafka: Connection, configure: Configure
) -> None:
    sql("CREATE TABLE visits (place text)")
    sql("INSERT INTO visits VALUES ('here')")
    config = configure("public.visits")
    with pytest.raises(KafkaRefused, match=r"visits takes no record without a key.*cleanup\.policy=delete"):
        Source(config, kafka).run(Stop())


def test_topics_of_an_outbox_are_created_with_the_settings_of_all_and_those_that_exist_are_left_as_they_are(
    sql: Sql,
    kafka: Connection,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    settings: Settings,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, payload text)")
    plain = configure("public.outbox")
    outbox = Outbox(table="public.outbox", topic=f"{plain.slot}.outbox.${{routedByValue}}")
    topic_of = Catalogue(partitions=3).routed_from_outbox
    config = structs.replace(plain, outbox=outbox, outbox_topic_of=topic_of)
    trips, orders = topic_of(f"{plain.slot}.outbox.trip"), topic_of(f"{plain.slot}.outbox.order")
    ensure_topics(kafka, [structs.replace(trips, partitions=1)])
    source, _ = streaming(config)
    for kind in ("trip", "order", "order"):
        sql("INSERT INTO outbox VALUES (gen_random_uuid(), %s, '1', 'x')", kind)
    caught_up(source)
    assert settings(trips) == (1, "delete")
    assert settings(orders) == (3, "delete")
    sent = structs.replace(config, topics={"trip": trips, "order": orders})
    assert [len(messages(sent, name)) for name in ("trip", "order")] == [1, 2]
